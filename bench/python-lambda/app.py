"""What the seeds run on Lambda, made to do what our door does: check a key, validate a ticket, store it once, publish its event."""

import hashlib
import json
import os
import time
import uuid

import boto3
from fastapi import FastAPI, Header, HTTPException, Response
from mangum import Mangum
from pydantic import BaseModel, Field

prefix = os.environ["SWITCHBOARD_AWS__PREFIX"]
dynamodb = boto3.client("dynamodb")
events = boto3.client("events")
app = FastAPI()


class Ticket(BaseModel):
    model_config = {"extra": "forbid"}
    ticket_id: str = Field(min_length=1, max_length=128)
    customer_id: str = Field(min_length=1, max_length=128)
    subject: str = Field(min_length=1, max_length=500)
    description: str = Field(min_length=1, max_length=50_000)
    metadata: dict[str, str] = Field(default_factory=dict, max_length=50)


@app.get("/health/live")
def live():
    return Response("alive", media_type="text/plain")


@app.post("/tickets", status_code=202)
def accept(ticket: Ticket, x_api_key: str = Header()):
    key = dynamodb.get_item(TableName=f"{prefix}-keys", Key={"id": {"S": x_api_key.split("_")[2]}}).get("Item")
    if key is None or not hashlib.sha256(x_api_key.encode()).hexdigest():
        raise HTTPException(401)
    tenant, now = key["tenant"]["S"], str(int(time.time() * 1000))
    try:
        dynamodb.put_item(
            TableName=f"{prefix}-tickets",
            Item={
                "ticket_id": {"S": f"py#{tenant}#{ticket.ticket_id}"},
                "timestamp": {"S": now},
                "record": {"S": ticket.model_dump_json()},
            },
            ConditionExpression="attribute_not_exists(ticket_id)",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        pass
    correlation = str(uuid.uuid4())
    events.put_events(
        Entries=[{
            "Source": "support.ticketing",
            "DetailType": "TicketReceivedByPython",
            "EventBusName": os.environ["SWITCHBOARD_AWS__BUS"],
            "Detail": json.dumps({**ticket.model_dump(), "correlation_id": correlation}),
        }]
    )
    return {"ticket_id": ticket.ticket_id, "correlation_id": correlation, "status": "accepted"}


handler = Mangum(app, lifespan="off")
