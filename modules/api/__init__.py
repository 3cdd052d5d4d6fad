"""The JSON interface: endpoints of the contract over jobs, settings and catalogue. Knows no torch."""
