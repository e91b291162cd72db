"""The identity provider: smart-card sign-in, device authorization and OpenID Connect."""
