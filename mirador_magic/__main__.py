"""`python -m mirador_magic`, which is the `mirador` of the shell."""

from mirador_magic.cli import main

raise SystemExit(main())
