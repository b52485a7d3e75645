"""`syncjob simulate` over TLS for the benchmarks, with the options that they need."""

import argparse
import shlex
import ssl
import sys

from syncjob.simulator import Account, Simulator
from syncjob.simulator.rehearsal import wait_for_stop


def main() -> None:
    """Serve until SIGTERM; print the settings first and the counts of calls last."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tls_wechat", description=__doc__)
    parser.add_argument("--followers", type=int, required=True)
    parser.add_argument("--latency", type=float, required=True, help="milliseconds")
    parser.add_argument("--profiles", required=True)
    parser.add_argument("--certificate", required=True, help="a PEM file, its key in it")
    parsed = parser.parse_args()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(parsed.certificate)
    account = Account(parsed.followers, 1, profiles=parsed.profiles)
    simulator = Simulator(account, latency=parsed.latency / 1000, record=False)
    with simulator.serving(tls=tls) as url:
        settings = {
            "SYNCJOB_API_URL": url,
            "SYNCJOB_APPID": simulator.appid,
            "SYNCJOB_APPSECRET": simulator.secret,
            "SYNCJOB_TOKEN_SOURCE": "stable",
        }

        def announce() -> None:
            for name, value in settings.items():
                print(f"export {name}={shlex.quote(value)}", flush=True)

        wait_for_stop(announce)
    counts = ", ".join(f"{name} {calls}" for name, calls in simulator.counts.items())
    print(counts, file=sys.stderr)


if __name__ == "__main__":
    main()
