"""FastAPI as most write it: no batching, the model called in the thread pool. ``fastapi_server.py FOLDER PORT BATCH``."""

import sys

import uvicorn
from fastapi import FastAPI
from model import Model
from pydantic import BaseModel

app, model = FastAPI(), Model(sys.argv[1])


class Asked(BaseModel):
    """The body."""

    text: str


@app.post("/classify")
def classify(asked: Asked) -> dict:
    """Answer one text."""
    return model.label([asked.text])[0]


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=False, log_level="warning")
