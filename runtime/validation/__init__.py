"""Parameters of flows: checked against their annotations, and converted to what these ask for."""
