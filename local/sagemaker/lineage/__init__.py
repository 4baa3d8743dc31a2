"""What lineage does: walks over associations, and the entities AWS adds by itself."""
