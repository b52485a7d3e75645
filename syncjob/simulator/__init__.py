"""A WeChat that runs on loopback, for tests and rehearsals.

Written from the description of WeChat's API alone. Imports nothing of the rest of syncjob, so
that a wrong reading of WeChat cannot hide on both sides.
"""

from syncjob.simulator.account import Account
from syncjob.simulator.api import Request
from syncjob.simulator.simulator import Simulator
from syncjob.simulator.switches import ENDPOINTS, Switches

__all__ = ["ENDPOINTS", "Account", "Request", "Simulator", "Switches"]
