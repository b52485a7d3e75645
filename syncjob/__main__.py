"""`python -m syncjob` is the command `syncjob`."""

from syncjob.cli.main import main

if __name__ == "__main__":
    main()
