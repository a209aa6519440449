"""Millions of photos, in a folder or a bucket, answered to Parquet: `python -m deploy.bulk`.

A run is a folder (`folder.run_folder`): what was asked for (`settings`), the listing of its inputs, taken
once (`folder.listing`), and two Parquet files for each chunk of the listing (`tables`). A chunk is the unit
of work and of resuming: `worker` reads its photos (`store`) and has them answered (`answering`); `job` hands
chunks out, in this process or through Ray (`ray_job`), and keeps what comes back. docs/bulk.md is the guide,
docs/decisions/0012-bulk.md says why it is built so.
"""
