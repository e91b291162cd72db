"""The derived-credential issuer: it proves the card itself, links a phone, and issues, keeps and ends credentials."""
