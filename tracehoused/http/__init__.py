"""HTTP: a request as a value, the client that sends it, what its answer means, and when to leave a server alone."""
