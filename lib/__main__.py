"""Run as ``python -m lib``."""

from lib.site.cli import main

if __name__ == "__main__":
    main(prog_name="python -m lib")
