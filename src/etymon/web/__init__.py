"""What every HTTP face shares: listeners, requests as values, errors as problems, sessions, pages."""
