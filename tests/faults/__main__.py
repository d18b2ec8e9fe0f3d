"""Inject faults into the scripts and check that nothing is lost.

python -m tests.faults --seed 0 --number 300
python -m tests.faults --seed 0 --number 300 --only 17 18
"""

import argparse
import signal
import sys

if __name__ == "__main__":  # the processes that the campaign starts import this module too
    from tests.faults import campaign

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # stops the servers
    parser = argparse.ArgumentParser(
        "python -m tests.faults", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="from which the faults are drawn")
    parser.add_argument("--number", type=int, default=300, help="of faults")
    parser.add_argument("--only", type=int, nargs="+", help="run only the faults of these numbers")
    args = parser.parse_args()
    sys.exit(campaign.main(args.seed, args.number, args.only))
