"""The house's storage, behind SQLAlchemy Core."""
