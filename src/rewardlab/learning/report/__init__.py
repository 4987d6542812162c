"""What stands in judgements, told before anything is trained on them."""

from rewardlab.learning.report.making import report_preferences
from rewardlab.learning.report.result import AgreementReport, DataReport, Found, LengthReport, Person, Spread

__all__ = ["AgreementReport", "DataReport", "Found", "LengthReport", "Person", "Spread", "report_preferences"]
