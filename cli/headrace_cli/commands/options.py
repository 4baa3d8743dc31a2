"""Options several commands share, each documented once."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str, typer.Argument(help="Name of the model.", show_default=False)]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the verdict; negative: exit code 1.")]
Timeout = Annotated[float, typer.Option(help="Seconds to wait at most.", min=1)]
Limit = Annotated[int, typer.Option(help="Show this many at most.", min=1)]
Folder = Annotated[Path, typer.Argument(help="Folder of the model project.", show_default=False)]
