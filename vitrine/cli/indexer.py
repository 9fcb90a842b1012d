"""vitrine index compact, gc, rollback, resume, skip-to: what only the owner of a partition may do, asked of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import grpc
import typer
from google.protobuf.json_format import MessageToDict

from vitrine.cli import commands, console
from vitrine.cli.connecting import given
from vitrine.cli.stack import known_addresses
from vitrine.client import typed_error
from vitrine.index.settings import DEFAULT_INDEX
from vitrine.runtime.channels import blocking_channel
from vitrine.runtime.errors import ConfigError, InvalidArgument, Unavailable
from vitrine.v1 import indexer_pb2 as pb
from vitrine.v1 import indexer_pb2_grpc

_TIMEOUT_S: Final = 60.0
# A partition of a few million rows is rewritten in minutes.
_COMPACT_TIMEOUT_S: Final = 3600.0
_COLLECT_TIMEOUT_S: Final = 600.0

Indexer = Annotated[str, typer.Option(help="host:port of the indexer that owns it; default: the one in --folder")]
Index = Annotated[str, typer.Option(help="name of the index")]
Partition = Annotated[int, typer.Argument(min=0, max=4095, help="number of the partition")]
Partitions = Annotated[list[int] | None, typer.Argument(min=0, max=4095, help="default: all that the indexer owns")]


def compact(
    partitions: Partitions = None,
    folder: commands.Folder = commands.DEFAULT_FOLDER,
    indexer: Indexer = "",
    index: Index = DEFAULT_INDEX,
    as_json: commands.AsJson = False,
) -> None:
    """Merge all shards of a partition into one, without what is dead."""
    request = pb.CompactRequest(index=index, partitions=partitions or ())
    with _asked(folder, indexer) as stub:
        rows = stub.Compact(request, timeout=_COMPACT_TIMEOUT_S).rows_rewritten
    if as_json:
        commands.print_json({"rows_rewritten": rows})
    else:
        console.out.print(f"{rows:,} rows rewritten", highlight=False)


def gc(
    partitions: Partitions = None,
    folder: commands.Folder = commands.DEFAULT_FOLDER,
    indexer: Indexer = "",
    index: Index = DEFAULT_INDEX,
    as_json: commands.AsJson = False,
) -> None:
    """Remove manifests and shards that neither the last hour nor a rollback needs."""
    request = pb.CollectRequest(index=index, partitions=partitions or ())
    with _asked(folder, indexer) as stub:
        gone = stub.Collect(request, timeout=_COLLECT_TIMEOUT_S)
    if as_json:
        commands.print_json({"manifests": gone.manifests, "shards": gone.shards})
    else:
        console.out.print(f"{gone.manifests:,} manifests and {gone.shards:,} shards removed", highlight=False)


def rollback(
    partition: Partition,
    version: Annotated[int, typer.Argument(min=1, help="the manifest to go back to: see `vitrine index ls`")],
    folder: commands.Folder = commands.DEFAULT_FOLDER,
    indexer: Indexer = "",
    index: Index = DEFAULT_INDEX,
    as_json: commands.AsJson = False,
) -> None:
    """Make an older manifest current again, and pause the partition until `resume` or `skip-to`."""
    request = pb.RollbackRequest(index=index, partition=partition, version=version)
    with _asked(folder, indexer) as stub:
        _print(stub.Rollback(request, timeout=_TIMEOUT_S), as_json)


def resume(
    partition: Partition,
    folder: commands.Folder = commands.DEFAULT_FOLDER,
    indexer: Indexer = "",
    index: Index = DEFAULT_INDEX,
    as_json: commands.AsJson = False,
) -> None:
    """End a pause or a halt: read on from where the manifest says, so that everything after it is read again."""
    request = pb.ResumeRequest(index=index, partition=partition)
    with _asked(folder, indexer) as stub:
        _print(stub.Resume(request, timeout=_TIMEOUT_S), as_json)


def skip_to(
    partition: Partition,
    offset: Annotated[int, typer.Argument(min=0, help="of the catalogue's log: what lies before is never read")],
    live: Annotated[
        int | None, typer.Option(min=0, help="the same of the live log; default: nothing is skipped")
    ] = None,
    folder: commands.Folder = commands.DEFAULT_FOLDER,
    indexer: Indexer = "",
    index: Index = DEFAULT_INDEX,
    as_json: commands.AsJson = False,
) -> None:
    """End a pause or a halt, and skip for good what lies between the manifest and OFFSET."""
    request = pb.ResumeRequest(index=index, partition=partition, skip_to=offset, skip_live_to=live)
    with _asked(folder, indexer) as stub:
        _check_end(stub, request)
        _print(stub.Resume(request, timeout=_TIMEOUT_S), as_json)


@contextmanager
def _asked(folder: Path, named: str) -> Iterator[Any]:
    """The indexer's calls. Raises ConfigError (`indexer`) if none is known, Unavailable, and what it answers."""
    known = known_addresses(folder).get("indexer")
    if not named and known is None:
        start = f"start one with `vitrine up --folder {folder}`, or name one with --indexer"
        raise ConfigError("indexer", f"none runs in {folder}, and only the owner of a partition may change it; {start}")
    address = named or str(known["grpc"]) if known else named
    with blocking_channel(address, given()) as channel:
        try:
            yield indexer_pb2_grpc.IndexerStub(channel)
        except grpc.RpcError as failed:
            error = typed_error(failed)
            if type(error) is Unavailable:
                raise Unavailable(f"indexer: {address}: {error}") from failed
            raise error from failed


def _check_end(stub: Any, request: pb.ResumeRequest) -> None:
    """Raises InvalidArgument for an offset that the log has not reached: what comes there would be skipped too."""
    for owned in stub.GetStatus(pb.IndexerStatusRequest(index=request.index), timeout=_TIMEOUT_S).partitions:
        if owned.partition != request.partition:
            continue
        for field, offset, end in (
            ("offset", request.skip_to, owned.end_offset),
            ("live", request.skip_live_to, owned.end_live_offset),
        ):
            if offset > end:
                raise InvalidArgument(field, f"{offset} lies beyond the end of the log, {end}")


def _print(status: pb.OwnedPartition, as_json: bool) -> None:
    if as_json:
        fields = MessageToDict(status, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        # 64-bit numbers are strings in proto3 JSON.
        commands.print_json({name: int(value) if name != "state" else value for name, value in fields.items()})
        return
    console.out.print(
        f"partition {status.partition}: {status.state}; manifest {status.version}, "
        f"catalogue read up to {status.next_offset:,} of {status.end_offset:,}, "
        f"live up to {status.next_live_offset:,} of {status.end_live_offset:,}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
