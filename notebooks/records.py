"""The records of a home, looked at: `marimo edit notebooks/records.py`, of the home that `charthouse sql` asks.

As a script (`python notebooks/records.py FOLDER`) it writes its four pictures into a folder.
"""

import marimo

app = marimo.App(app_title="The records")


@app.cell
def _():
    import sys
    from pathlib import Path

    import altair as alt
    import marimo as mo

    from charthouse.lake.analyst import analyst

    alt.data_transformers.disable_max_rows()

    def of(rows, chart):
        """The chart; or, as an axis cannot be drawn of nothing, that there is nothing."""
        nothing = alt.Chart(alt.Data(values=[{}]), title=chart.title, width=620, height=100)
        return nothing.mark_text(text="no rows", color="gray", size=14) if rows.empty else chart

    with analyst() as connection:

        def ask(query):
            """The rows of a query, as a data frame."""
            return connection.sql(query).df()

        counted = ask(
            """
            SELECT category, date_trunc('year', effective_start)::DATE AS year, count(*) AS entries,
              count(DISTINCT person_key) AS people
            FROM timeline WHERE NOT is_entered_in_error AND effective_start IS NOT NULL
              AND effective_start BETWEEN date_trunc('year', now()) - INTERVAL 14 YEAR AND now()
            GROUP BY ALL ORDER BY ALL
            """
        )
        pressures = ask(
            """
            SELECT person_key, effective_start::TIMESTAMP AS measured, systolic, diastolic
            FROM blood_pressure WHERE systolic IS NOT NULL AND diastolic IS NOT NULL AND effective_start IS NOT NULL
            ORDER BY measured
            """
        )
        a1c = ask(
            """
            SELECT person_key, effective_start::TIMESTAMP AS measured, value_canonical AS a1c
            FROM lab_results JOIN value_sets AS v ON v.value_set = 'a1c' AND v.code = loinc_code
            WHERE value_canonical IS NOT NULL AND value_comparator IS NULL AND NOT is_entered_in_error
            ORDER BY measured
            """
        )
        diagnoses = ask(
            """
            SELECT date_trunc('month', first)::TIMESTAMP AS month, count(*) AS diagnoses
            FROM (
              SELECT person_key, min(coalesce(effective_start, recorded_at)) AS first FROM conditions
              WHERE NOT is_negated AND NOT is_entered_in_error AND effective_start_precision IS DISTINCT FROM 'year'
              GROUP BY person_key, coalesce(snomed_code, icd10_code, lower(text)))
            WHERE first > now() - INTERVAL 5 YEAR GROUP BY ALL ORDER BY ALL
            """
        )
    return Path, a1c, alt, counted, diagnoses, mo, of, pressures, sys


@app.cell
def _(mo):
    mo.md("""
    # The records
    Each picture is drawn from one query over the tables and views, of which `docs/analysts.md` has more.
    """)


@app.cell
def _(alt, counted, of):
    entries = (
        alt.Chart(counted, title="What there is of the last fifteen years", width=620, height=300)
        .mark_bar()
        .encode(
            x=alt.X("year(year):O", title=None),
            y=alt.Y("sum(entries):Q", title="entries"),
            color=alt.Color("category:N", title=None, scale=alt.Scale(scheme="tableau10")),
            tooltip=["category", "sum(entries)"],
        )
    )
    entries = of(counted, entries)
    entries
    return (entries,)


@app.cell
def _(alt, of, pressures):
    """Each measurement is a line from the lower to the upper pressure, which is how it is drawn on a ward's chart."""
    both = alt.Chart(pressures).encode(x=alt.X("measured:T", title=None, scale=alt.Scale(padding=8)))
    sides = alt.layer(
        both.mark_rule(opacity=0.25).encode(y=alt.Y("diastolic:Q"), y2="systolic:Q"),
        both.mark_point(filled=True, size=22, color="#c0392b").encode(
            y=alt.Y("systolic:Q", title="mmHg", scale=alt.Scale(zero=False))
        ),
        both.mark_point(filled=True, size=22, color="#2471a3").encode(y="diastolic:Q"),
    ).properties(title="Blood pressure: systolic (red) and diastolic (blue)", width=620, height=260)
    sides = of(pressures, sides)
    sides
    return (sides,)


@app.cell
def _(a1c, alt, of):
    thresholds = alt.Chart(alt.Data(values=[{"at": 5.7}, {"at": 6.5}])).mark_rule(strokeDash=[4, 4], opacity=0.6)
    sugar = alt.layer(
        thresholds.encode(y=alt.Y("at:Q", title="HbA1c, %")),
        alt.Chart(a1c)
        .mark_line(point=True, opacity=0.8)
        .encode(
            x=alt.X("measured:T", title=None, scale=alt.Scale(padding=8)),
            y=alt.Y("a1c:Q", title="HbA1c, %", scale=alt.Scale(zero=False)),
            color=alt.Color("person_key:N", legend=None),
        ),
    ).properties(title="HbA1c of each person, with 5.7 and 6.5 %", width=620, height=260)
    sugar = of(a1c, sugar)
    sugar
    return (sugar,)


@app.cell
def _(alt, diagnoses, of):
    new = (
        alt.Chart(diagnoses, title="New diagnoses by month, the last five years", width=620, height=260)
        .mark_bar(color="#2471a3")
        .encode(
            x=alt.X("yearmonth(month):T", title=None),
            y=alt.Y(
                "diagnoses:Q",
                axis=alt.Axis(labelExpr="datum.value % 1 ? null : format(datum.value, 'd')", ticks=False, grid=False),
            ),
        )
    )
    new = of(diagnoses, new)
    new
    return (new,)


@app.cell
def _(Path, entries, mo, new, sides, sugar, sys):
    if mo.app_meta().mode == "script" and sys.argv[1:]:
        folder = Path(sys.argv[1])
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in (("entries", entries), ("pressures", sides), ("a1c", sugar), ("diagnoses", new)):
            picture.save(folder / f"{name}.png", ppi=144)


if __name__ == "__main__":
    app.run()
