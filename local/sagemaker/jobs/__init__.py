"""What jobs do between their statuses: wait, bring data in, run containers, take results out."""
