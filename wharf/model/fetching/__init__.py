"""APIs as they are declared, and what is fetched from them: plain values and pure functions."""
