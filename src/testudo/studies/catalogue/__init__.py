"""The papers' tables and figures as studies."""
