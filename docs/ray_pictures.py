"""Label pictures and areas of any number of pictures with Ray Data, on this machine or on a cluster.

python docs/ray_pictures.py runs/mine s3://bucket/pictures s3://bucket/labels
"""

import sys

import fsspec
import ray

import atonce


class Segment:
    def __init__(self, model: str, out: str) -> None:
        self.segment, self.out = atonce.load(model), out  # once in each worker

    def __call__(self, row: dict) -> dict:
        name = row["path"].rpartition("/")[2].rpartition(".")[0]
        try:
            result = self.segment(row["bytes"])
        except atonce.UserError as error:
            return {"picture": row["path"], "error": str(error), **dict.fromkeys(self.segment.classes, 0)}
        with fsspec.open(f"{self.out}/{name}.png", "wb", auto_mkdir=True) as file:
            result.label_image().save(file, "PNG")
        pixels = {of: area.pixels for of, area in result.areas.items()}
        return {"picture": row["path"], "error": "", **pixels}


if __name__ == "__main__":
    model, pictures, out = sys.argv[1:]
    found = ray.data.read_binary_files(pictures, include_paths=True)
    workers = int(ray.cluster_resources()["CPU"])  # with GPUs: as many as there are, and num_gpus=1 below
    done = found.map(Segment, fn_constructor_args=(model, out), concurrency=workers, num_cpus=1)
    done.write_parquet(f"{out}/areas")
