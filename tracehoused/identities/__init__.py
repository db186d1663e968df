"""As whom a session is uploaded: its key, its public identity, or why it has to wait."""
