"""Order lines in an object store, asked for over HTTP from a server on the loopback that speaks S3."""

from __future__ import annotations

import pytest

from forecasting.errors import InputError, StepError
from pipelines.etl.order_book.files.object_store import is_address, without_secrets
from pipelines.etl.order_book.files.sources import list_sources

BUCKET = "vendor"


@pytest.fixture(scope="module")
def server():
    """An S3 server with one empty bucket; gives its address and a client."""
    import logging
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import boto3
        from moto.server import ThreadedMotoServer
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    client = boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id="someone",
        aws_secret_access_key="hush-hush",  # noqa: S106 - the server asks for any
    )
    client.create_bucket(Bucket=BUCKET)
    yield address, client
    server.stop()


@pytest.fixture
def bucket(server):
    client = server[1]
    yield client
    for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=entry["Key"])


@pytest.fixture
def options(server):
    return {
        "aws_endpoint_url": server[0],
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
        "aws_access_key_id": "someone",
        "aws_secret_access_key": "hush-hush",
    }


def upload(client, paths, folder="orders"):
    for path in paths:
        client.upload_file(str(path), BUCKET, f"{folder}/{path.name}")


def settings(options, path):
    return [f"data.path={path}", *(f"data.storage_options.{key}={value!r}" for key, value in options.items())]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_order_book_in_a_bucket_gives_what_it_gives_on_disk(bench, bucket, options, suffix, digested):
    paths = bench.write(bench.lines(200), 3, suffix=suffix)
    bench.etl()
    expected = bench.read("series")
    upload(bucket, paths)
    digested.clear()
    given = settings(options, f"s3://{BUCKET}/orders/*.{suffix}")
    bench.etl(*given)
    assert bench.read("series").equals(expected)
    assert [file["path"] for file in bench.summary["files"]] == [
        f"s3://{BUCKET}/orders/{p.name}" for p in paths
    ]
    assert len(digested) == 3
    bench.etl(*given)
    assert len(digested) == 3
    bench.table(bench.lines(50, seed=1)).write_csv(paths[0]) if suffix == "csv" else bench.table(
        bench.lines(50, seed=1)
    ).write_parquet(paths[0])
    upload(bucket, paths[:1])
    bench.etl(*given)
    assert digested[3:] == [paths[0].name]


def test_prefix_means_all_below_it_and_an_object_itself(bench, bucket, options):
    upload(bucket, bench.write(bench.lines(20), 2), folder="orders/year=2025")
    bucket.put_object(Bucket=BUCKET, Key="orders/notes.txt", Body=b"x")
    listing = list_sources([f"s3://{BUCKET}/orders"], options)
    assert [source.path.rpartition("/")[2] for source in listing.files] == [
        "part-0.parquet",
        "part-1.parquet",
    ]
    assert listing.ignored == (f"s3://{BUCKET}/orders/notes.txt",)
    [one] = list_sources([f"s3://{BUCKET}/orders/year=2025/part-1.parquet"], options).files
    assert one == listing.files[1]


def test_path_means_the_same_in_a_bucket_as_on_disk(bucket, options, meaning):
    path, wanted, ignored = meaning
    for name in meaning.names:
        bucket.put_object(Bucket=BUCKET, Key=name, Body=b"x")
    listing = list_sources([f"s3://{BUCKET}/{path}"], options)
    assert [source.path.removeprefix(f"s3://{BUCKET}/") for source in listing.files] == wanted
    assert [each.removeprefix(f"s3://{BUCKET}/") for each in listing.ignored] == ignored


def test_csv_object_that_is_cut_short_is_refused(bench, bucket, options):
    [path] = bench.write(bench.lines(30), suffix="csv")
    path.write_bytes(path.read_bytes()[:-30])
    upload(bucket, [path])
    with pytest.raises(InputError, match=rf"s3://{BUCKET}/orders/part-0\.csv, row 30: the file is cut short"):
        bench.etl(*settings(options, f"s3://{BUCKET}/orders/part-0.csv"))


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (f"s3://{BUCKET}/nothing.parquet", "there is no such object or bucket"),
        (f"s3://{BUCKET}/none/*.parquet", "there is no file of order lines"),
        ("s3://no-such-bucket/orders/*.parquet", "there is no such object or bucket"),
    ],
)
def test_address_that_means_nothing_is_refused(options, path, sentence, bucket):
    with pytest.raises(
        InputError, match=f"{path.replace('*', '.')}: {sentence}".replace("/.", "/.*")
    ) as refusal:
        list_sources([path], options)
    assert "\n" not in str(refusal.value)


def test_store_that_does_not_answer_is_told_in_one_sentence(options):
    nowhere = options | {"aws_endpoint_url": "http://127.0.0.1:9"}
    with pytest.raises(StepError, match=f"s3://{BUCKET}/a.parquet: the object store failed: ") as refusal:
        list_sources([f"s3://{BUCKET}/a.parquet"], nowhere)
    assert "\n" not in str(refusal.value)


def test_what_is_an_address():
    assert all(map(is_address, ["s3://b/k", "gs://b/k", "az://c/k", "abfss://c/k", "s3://b"]))
    assert not any(map(is_address, ["orders/a.csv", "/s3/a.csv", "s3:b", "C:\\a.csv"]))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "failed at http://user:hush@127.0.0.1:9/b?sig=hush&x=1 (refused)",
            "failed at http://127.0.0.1:9/b (refused)",
        ),
        ("https://hush@host/key", "https://host/key"),
        ("s3://user:hush@bucket/key?token=hush", "s3://bucket/key"),
        ("abfss://container@account/part-?.csv", "abfss://container@account/part-?.csv"),
        ("s3://bucket/year=2025/*.csv", "s3://bucket/year=2025/*.csv"),
    ],
)
def test_addresses_in_errors_are_told_without_users_and_queries(text, wanted):
    assert without_secrets(text) == wanted


def test_store_that_does_not_answer_is_told_without_secrets(options):
    nowhere = options | {"aws_endpoint_url": "http://user:hush-hush@127.0.0.1:9"}
    with pytest.raises(StepError, match="the object store failed") as refusal:
        list_sources([f"s3://{BUCKET}/a.parquet?sig=hush-hush"], nowhere)
    assert "hush-hush" not in str(refusal.value)
