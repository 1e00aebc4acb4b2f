"""What Azure's targets share: a plan's pools as Azure takes them (``data.py``), and what machines of a scale set run (``machine/``)."""
