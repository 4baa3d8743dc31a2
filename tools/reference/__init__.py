"""The reference pages of docs/, one module each: `page(root)` returns a page's text.

`local` is installed in no environment; it is imported from the clone.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
