"""The house's HTTP interface: the wire protocol, and reading what is held."""
