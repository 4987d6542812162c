"""The tables of the pages on configurations are those that the classes give now."""

from __future__ import annotations

from pathlib import Path

from rewardlab.config.documentation import filled, tables

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGES = [DOCS / "configuration.md", DOCS / "reward-models" / "fitting.md"]


def test_the_tables_are_up_to_date() -> None:
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        assert filled(page) == page, f"run: python -m rewardlab.config.documentation {path}"


def test_every_table_stands_on_a_page_and_every_key_has_a_description() -> None:
    page = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    for name, table in tables().items():
        assert f"<!-- table: {name} -->" in page
        for row in table.splitlines()[2:]:
            assert row.split(" | ")[-1].rstrip(" |"), f"{name}: {row} says nothing"


def test_a_page_that_is_out_of_date_is_filled() -> None:
    text = "a\n<!-- table: limits -->\nold\n<!-- end -->\nb\n"
    assert "old" not in filled(text)
    assert "| `limits.turns` | whole number | `16` | most actions. |" in filled(text)
    assert filled(filled(text)) == filled(text)
