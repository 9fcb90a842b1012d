"""The page for people, and the JSON behind it. Talks to the gateway only."""
