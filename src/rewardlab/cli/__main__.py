"""`python -m rewardlab.cli`, for launchers that start modules."""

from rewardlab.cli import main

if __name__ == "__main__":
    main()
