"""The demo: the story of the first journeys, told by running them."""
