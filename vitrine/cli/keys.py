"""`vitrine keys`."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from vitrine.cli import output, tables
from vitrine.cli.options import JsonOption
from vitrine.cli.products import names
from vitrine.cli.queries import moment
from vitrine.cli.session import Session, connected

app = typer.Typer(help="API keys of a gateway that asks who calls (docs/security.md).", no_args_is_help=True)


class ScopeName(StrEnum):
    """What a key allows."""

    search = "search"
    write = "write"
    admin = "admin"


@app.command("create")
@connected
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for, for people.")],
    scope: Annotated[
        ScopeName, typer.Option("--scope", help="What it allows; each includes those before it.")
    ] = ScopeName.search,
    catalogs: Annotated[
        str, typer.Option("--catalogs", help="The catalogues that it is good for: shop,art; all without.")
    ] = "",
    rate_limit_per_s: Annotated[
        float, typer.Option("--rate-limit-per-s", help="Requests a second; 0 for the deployment's.")
    ] = 0.0,
    expires: Annotated[
        str, typer.Option("--expires", help="When it ends, such as 2027-01-31; never without.")
    ] = "",
) -> None:
    """Create a key. Its secret is shown this once."""
    ends = moment(expires, "--expires")
    with session.client() as client:
        made = client.create_api_key(
            name,
            scope.value,
            catalogs=names(catalogs),
            rate_limit_per_s=rate_limit_per_s,
            expires=ends,
        )
    if session.json:
        output.print_json({"key": asdict(made.key), "secret": made.secret})
        return
    output.say(f"key {made.key.id}, which is shown this once:")
    output.out().print(made.secret, soft_wrap=True, markup=False)


@app.command("list")
@connected
def list_(session: Session) -> None:
    """List keys by id, without their secrets."""
    with session.client() as client:
        found = list(client.api_keys())
    if session.json:
        output.print_json({"keys": [asdict(key) for key in found]})
        return
    tables.show(
        ("key", "name", "scope", "catalogues", "a second", "created", "ends"),
        (
            (
                key.id,
                key.display_name,
                key.scope,
                " ".join(key.catalogs) or "all",
                f"{key.rate_limit_per_s:g}" if key.rate_limit_per_s else "",
                key.created.date().isoformat() if key.created else "",
                key.expires.date().isoformat() if key.expires else "",
            )
            for key in found
        ),
        nothing="no keys",
        whole=("key",),
    )


@app.command("delete")
@connected
def delete(
    session: Session, key_id: Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")]
) -> None:
    """Delete a key; every gateway refuses it within 10 s."""
    with session.client() as client:
        client.delete_api_key(key_id)
    if session.json:
        output.print_json({"deleted": key_id})
    else:
        output.out().print("deleted")


@app.command("hash")
def hash_(
    new: Annotated[bool, typer.Option("--new", help="Make a key, rather than ask for one.")] = False,
    json: JsonOption = False,
) -> None:
    """Print what VITRINE_GATEWAY_ADMIN_KEY_HASH is to be, so that a key may do everything.

    The key is read from the terminal, or from standard input.
    """
    from services.gateway.access.key_text import fingerprint, new_key

    text = new_key().text if new else typer.prompt("key", hide_input=True, err=True).strip()
    hashed = fingerprint(text).hex()
    if json:
        output.print_json({"hash": hashed, **({"key": text} if new else {})})
        return
    if new:
        output.out().print(f"key:  {text}", soft_wrap=True, markup=False, highlight=False)
        output.out().print(f"hash: {hashed}", soft_wrap=True, markup=False, highlight=False)
    else:
        output.out().print(hashed, soft_wrap=True, markup=False, highlight=False)
