"""``tinytx export``: best checkpoint to a verified bundle."""

from pathlib import Path

import click

from tinytx.cli.common import console, json_option, print_json, quiet_option, require


@click.command(name="export")
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path),
    default="data",
    show_default=True,
    help="Where `tinytx train` wrote; the bundle goes into its folder `bundle`.",
)
@json_option
@quiet_option
def command(output_dir: Path, as_json: bool, quiet: bool) -> None:
    """Turn the best checkpoint into a bundle: graph, tokenizer, golden outputs, manifest.

    Refused with exit code 6 when the graph and the PyTorch model disagree.

    \b
    Example:
      tinytx export --output-dir out
    """
    require("export", "torch", "onnx")
    from tinytx.export.exporter import export
    from tinytx.workspace import Workspace

    space = Workspace(output_dir)
    result = export(space)
    manifest = result.manifest
    out = console(quiet)
    if result.skipped:
        out.print(f"skipped: {space.bundle} is already made of these files", markup=False)
    parity = manifest.parity
    out.print(f"bundle {manifest.id[:12]} in {space.bundle}", markup=False)
    out.print(
        f"  model.onnx {manifest.files['model.onnx'].size:,} bytes, "
        f"{manifest.model.parameters:,} parameters, context {manifest.model.max_seq_length}"
    )
    out.print(
        f"  parity: {parity.greedy_tokens} greedy tokens of {parity.prompts} prompts equal, "
        f"logits within {parity.max_abs_logit_difference:.1e} of PyTorch's"
    )
    out.print(f"  quality: {manifest.quality.bits_per_byte:.4f} bits per byte of held-out text")
    if as_json:
        import msgspec

        print_json(
            {
                "bundle": str(space.bundle),
                "skipped": result.skipped,
                "manifest": msgspec.to_builtins(manifest),
            }
        )
