"""Etymon: derived credentials for people who sign in with a smart card."""
