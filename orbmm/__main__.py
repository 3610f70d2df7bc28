"""Run the command line as `python -m orbmm`, which is what torchrun starts in each process."""

from orbmm.cli.main import main

if __name__ == "__main__":
    main()
