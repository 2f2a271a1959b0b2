"""The assets that our DAGs announce and wait for, and the schedules made of them."""

from __future__ import annotations

from airflow.sdk import Asset, AssetAlias, AssetOrTimeSchedule, CronTriggerTimetable

PUBLISHED = AssetAlias("published_tables")
"""Stands for the tables that a night changed: `x-charthouse://records/<table>`."""
WAITING = Asset("waiting_links", "x-charthouse://links/waiting")
"""Links wait for records: new ones, and those for which somebody asked."""
NIGHTLY_AND_WAITING = AssetOrTimeSchedule(timetable=CronTriggerTimetable("0 2 * * *", timezone="UTC"), assets=[WAITING])
