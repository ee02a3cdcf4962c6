"""`python -m gw` is `gw`."""

from gw.cli.main import main

if __name__ == "__main__":
    main(prog_name="gw")
