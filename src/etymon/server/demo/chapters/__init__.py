"""The demo, chapter by chapter: founding, enrollment, credential, use, revocation."""
