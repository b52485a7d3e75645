"""A simulated WeChat on loopback, for tests and rehearsals.

Written only from the documentation of WeChat's API. It imports nothing else of syncjob, so that a
misreading of the API cannot be the same on both sides.
"""

from syncjob.simulator.account import Account
from syncjob.simulator.api import Request
from syncjob.simulator.simulator import Simulator
from syncjob.simulator.switches import ENDPOINTS, Switches

__all__ = ["ENDPOINTS", "Account", "Request", "Simulator", "Switches"]
