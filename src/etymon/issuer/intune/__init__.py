"""Microsoft Intune's contract for third-party certification authorities: requests are validated there, and told of."""
