"""``tinytx export``: best checkpoint to a verified bundle."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinytx.cli.common import console, json_option, print_json, quiet_option, require
from tinytx.wording import counted

if TYPE_CHECKING:
    from tinytx.bundle import Manifest
    from tinytx.export.exporter import Choice


@click.command(name="export")
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path),
    default="data",
    show_default=True,
    help="Where `tinytx train` wrote; the bundle goes into its folder `bundle`.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "int8", "int4"]),
    default="auto",
    show_default=True,
    help="Quantised models beside float32; auto: every one that earns its place.",
)
@json_option
@quiet_option
def command(output_dir: Path, precision: "Choice", as_json: bool, quiet: bool) -> None:
    """Turn the best checkpoint into a bundle: graphs, tokenizer, golden outputs, manifest.

    A quantised model earns its place with bits per byte within 1 % of float32's and a file at
    least 20 % smaller; the most precise that does is the default. Refused with exit code 6 when a
    graph and the PyTorch model disagree, or when int8 or int4 is asked for and not earned.

    \b
    Example:
      tinytx export --output-dir out
    """
    require("export", "torch", "onnx")
    from tinytx.export.exporter import export
    from tinytx.workspace import Workspace

    space = Workspace(output_dir)
    result = export(space, precision)
    manifest = result.manifest
    out = console(quiet)
    if result.skipped:
        out.print(f"skipped: {space.bundle} is already made of these files", markup=False)
    parity = manifest.parity
    out.print(f"bundle {manifest.id[:12]} in {space.bundle}", markup=False)
    out.print(
        f"  {manifest.model.parameters:,} parameters, context {manifest.model.max_seq_length}\n"
        f"  parity: {counted(parity.greedy_tokens, 'greedy token')} of "
        f"{counted(parity.prompts, 'prompt')} equal, "
        f"logits within {parity.max_abs_logit_difference:.1e} of PyTorch's"
    )
    for line in precision_lines(manifest):
        out.print(line, markup=False)
    if as_json:
        import msgspec

        print_json(
            {
                "bundle": str(space.bundle),
                "skipped": result.skipped,
                "manifest": msgspec.to_builtins(manifest),
            }
        )


def precision_lines(manifest: "Manifest") -> list[str]:
    """Each model: size, quality, and whether it is the default or why it is not there."""
    from tinytx.bundle import GRAPHS

    lines = []
    for precision in GRAPHS:
        if precision in manifest.precisions:
            size = manifest.files[GRAPHS[precision]].size
            quality = manifest.bits_per_byte(precision)
            default = ", the default" if precision == manifest.precision else ""
            lines.append(f"  {precision}: {size:,} bytes, {quality:.4f} bits per byte{default}")
        elif precision in manifest.variants:
            lines.append(f"  {precision}: not shipped: {manifest.variants[precision].reason}")
    return lines
