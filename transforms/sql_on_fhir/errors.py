"""What can be wrong with a view (CH301 to CH319) and with what it reads (CH320 on): the codes and the one exception."""

from __future__ import annotations

from dataclasses import dataclass

from transforms.errors import ErrorCode

CODES: dict[str, ErrorCode] = {
    entry.code: entry
    for entry in (
        ErrorCode("CH301", "Not a ViewDefinition", "Correct the property that the JSON path names."),
        ErrorCode("CH302", "The expression is not FHIRPath", "Correct it at the column named."),
        ErrorCode("CH303", "There is no such element", "Use an element of FHIR R4; a choice is read with ofType()."),
        ErrorCode("CH304", "The type does not fit", "Compare with the type that R4 gives the element."),
        ErrorCode("CH305", "Not part of the supported FHIRPath", "See the list of functions in docs/views.md."),
        ErrorCode("CH306", "The constant cannot be used", "Declare it once, with a name and one value[x]."),
        ErrorCode("CH307", "Several values where one belongs", "Use first(), join() or `collection: true`."),
        ErrorCode(
            "CH308", "The columns do not fit together", "Names are unique; every branch of a union has the same."
        ),
        ErrorCode(
            "CH309", "The source cannot be read", "Name FHIR NDJSON files or a relation with a `resource` column."
        ),
        ErrorCode("CH310", "There is no such resource type", "Name a resource of FHIR R4."),
        ErrorCode("CH311", "The view could not be run", "Give it more memory, or report it with the view."),
        ErrorCode(
            "CH312",
            "The result cannot be written",
            "Name a file that ends in .parquet, .csv, .ndjson or .json, in a folder of yours.",
        ),
        ErrorCode(
            "CH313",
            "The source has no such patient or group",
            "Name one as Patient/id or Group/id that the source holds.",
        ),
        ErrorCode(
            "CH314",
            "The filter cannot be used",
            "Name patients as Patient/id, groups as Group/id, since as an instant, limit as a whole number.",
        ),
        ErrorCode("CH315", "The SQL query cannot be run", "Correct the Library where the JSON path says, or its SQL."),
        ErrorCode("CH316", "The query's parameters do not fit", "Give each that the Library declares, as name=value."),
        ErrorCode(
            "CH317", "The query's tables do not fit", "Give each view that the Library names, by its label or its url."
        ),
        # -- remarks about rows: counted, never raised --------------------------------------------------------------
        ErrorCode("CH320", "A resource does not fit its type there", "The column is NULL; the row is kept."),
        ErrorCode("CH321", "A line holds no JSON object", "It was left out; correct the file."),
        ErrorCode("CH322", "The standard has no such property", "It was passed over; leave it out if it is in vain."),
        ErrorCode("CH323", "The view is written for another version of FHIR", "It was run with the elements of R4."),
        ErrorCode(
            "CH324", "The type is in no patient's compartment", "Its rows are there whoever is asked for; join them."
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Remark:
    """What did not end the run, by its code.

    So many `resources` do not fit at `path` (`Observation.code`, CH320), or are no JSON at all (CH321). Of the view
    itself, where no resources are counted, `path` is the JSON path of what was passed over (CH322, CH323).
    """

    code: str
    path: str
    resources: int = 0

    def __str__(self) -> str:
        match self.code:
            case "CH320":
                what = f"{self.resources:,} resources do not fit"
            case "CH321":
                what = f"{self.resources:,} lines are no JSON object"
            case _:
                what = f"{CODES[self.code].title}. {CODES[self.code].mend}"
        return f"{self.code} {self.path}: {what}".encode(errors="backslashreplace").decode()


class ViewError(Exception):
    """A view that cannot be run, as one numbered fault.

    `path` is the JSON path of the fault in the definition (`$.select[0].column[1].path`), `expression` the FHIRPath
    expression there (or None), `position` the offset of the fault in it, from 0. `str()` is one sentence for a person;
    it holds text of the view only, never a value of a resource.
    """

    def __init__(
        self, code: str, path: str = "$", expression: str | None = None, position: int | None = None, message: str = ""
    ) -> None:
        self.code = code
        self.path = path
        self.expression = expression
        self.position = position
        self.message = message or CODES[code].title
        super().__init__(code, path, expression, position, self.message)

    @property
    def column(self) -> int | None:
        """The column of the fault in the expression, from 1, as editors count."""
        return None if self.position is None else self.position + 1

    def __str__(self) -> str:
        where = self.path
        if self.expression is not None:
            where += f" `{_short(self.expression)}`"
        if self.column is not None:
            where += f" column {self.column}"
        sentence = (
            f"{self.code} {CODES[self.code].title}: {where}: {_short(self.message, 400)}. {CODES[self.code].mend}"
        )
        # half of a surrogate pair, which a view may hold, cannot be printed
        return sentence.encode(errors="backslashreplace").decode()


class ExpressionFault(Exception):  # noqa: N818 - travels inside the compiler only
    """A fault inside one expression; whoever knows the place of the expression makes a ViewError of it."""

    def __init__(self, code: str, position: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.position = position
        self.message = message

    def at(self, path: str, expression: str) -> ViewError:
        """The same fault, with the place of the expression in the view."""
        return ViewError(self.code, path, expression, self.position, self.message)


def _short(text: str, most: int = 120) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
