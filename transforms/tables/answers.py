"""A QuestionnaireResponse read as an Observation: a survey whose answers are components, so that surveys are one table.

Senders may lay the same screening out in either way (US Core 6.1 and later, Screening and Assessments). What an answer
is becomes what an Observation can hold: a Coding a concept, a decimal a quantity without a unit, a date a dateTime, a
uri or the title of an attachment a text. Numbers come as texts, as they were sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    Json = dict[str, Any]

QUESTION: Final = "urn:charthouse:question"
"""The extension of a component that holds the id of the question in the form (`linkId`)."""
GROUP: Final = "urn:charthouse:question-group"
"""The extension that holds what the question stands under: the texts of groups and questions, the outermost first."""
LOINC: Final = "http://loinc.org"
_LOINC_ID = re.compile(r"(?:.*/)?(\d{1,5}-\d)")
"""A LOINC code as forms write it into `linkId` and `definition`: alone, or behind a slash (LHC-Forms)."""
_LOINC_FORM = re.compile(r"https?://(?:www\.)?loinc\.org/(?:q/)?(\d{1,5}-\d)(?:[/|].*)?")
_DISPLAY = ("http://hl7.org/fhir/StructureDefinition/display",)
_SURVEY: Final[Json] = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "survey"}]
}
_PEOPLE = re.compile(r"(?:^|/)(?:Patient|RelatedPerson)(?:[/?]|$)")
_AS_TEXT = ("valueString", "valueUri", "valueUrl", "valueMarkdown", "valueCode")
_AS_IS = ("valueBoolean", "valueInteger", "valueTime", "valueQuantity", "valueDateTime")
MOST_DEEP: Final = 100
"""Levels of questions that are read."""


def survey_of(response: Json) -> Json:
    """The Observation that a QuestionnaireResponse says: one row for the form, and one for each answer in its order.

    A question without an answer is a component without a value; a group is none, and stands in what is below it.
    """
    made: Json = {
        "resourceType": "Observation",
        "category": [_SURVEY],
        "code": _form(response),
        "component": list(_components(response)),
    }
    for name, sent in (
        ("status", "status"),
        ("subject", "subject"),
        ("encounter", "encounter"),
        ("effectiveDateTime", "authored"),
        ("_effectiveDateTime", "_authored"),
        ("basedOn", "basedOn"),
    ):
        if sent in response:
            made[name] = response[sent]
    said_by = response.get("author") or response.get("source")
    if isinstance(said_by, dict):
        made["performer"] = [said_by]
    return made


def _form(response: Json) -> Json:
    """Which form it is: its title, and its LOINC code or the last part of its canonical address, never the host."""
    canonical = response.get("questionnaire")
    held = [each for each in _items(response.get("contained")) if each.get("resourceType") == "Questionnaire"]
    titles = [each.get("valueString") for each in _extensions(response.get("_questionnaire")) if _is_display(each)]
    titles += [text for each in held for text in (each.get("title"), each.get("name"))]
    codings = [coding for each in held for coding in _items(each.get("code"))]
    if isinstance(canonical, str) and not canonical.startswith("#"):
        of_loinc = _LOINC_FORM.fullmatch(canonical)
        last = canonical.partition("|")[0].rstrip("/").rpartition("/")[2]
        codings.append(
            {"system": LOINC, "code": of_loinc[1]} if of_loinc else {"code": last.rpartition(":")[2] or last}
        )
    found: Json = {"coding": codings} if codings else {}
    if title := next((text for text in titles if isinstance(text, str) and text), None):
        found["text"] = title
    return found


def _components(response: Json) -> Iterator[Json]:
    """The questions of all levels, in the order of the form."""
    asked = _codes_of_form(response)
    top: tuple[str, ...] = ()
    waiting = [(each, top) for each in reversed(_items(response.get("item")))]
    while waiting:
        item, above = waiting.pop()
        answers = _items(item.get("answer"))
        within = _items(item.get("item"))
        for answer in answers:
            yield _component(item, above, asked, answer)
        if not (answers or within):
            yield _component(item, above, asked, {})
        if len(above) < MOST_DEEP:
            below = [*within, *(each for answer in answers for each in _items(answer.get("item")))]
            called = item.get("text") or item.get("linkId")
            under = (*above, called) if isinstance(called, str) else above
            waiting += [(each, under) for each in reversed(below)]


def _component(item: Json, above: tuple[str, ...], asked: dict[str, list[Json]], answer: Json) -> Json:
    question = item.get("linkId")
    codings = list(asked.get(question, ())) if isinstance(question, str) else []
    for sent in (question, item.get("definition")):
        if not codings and isinstance(sent, str) and (found := _LOINC_ID.fullmatch(sent)):
            codings.append({"system": LOINC, "code": found[1]})
    code: Json = {"coding": codings} if codings else {}
    if "text" in item:
        code["text"] = item["text"]
    said = [(QUESTION, question), (GROUP, " / ".join(above))]
    return {
        "code": code,
        "extension": [{"url": url, "valueString": text} for url, text in said if text],
        **_value(answer),
    }


def _value(answer: Json) -> Json:
    """The answer as the value of an Observation. Whom a reference names is left out, where that is a person."""
    for name in _AS_IS:
        if name in answer:
            return {name: answer[name]}
    for name in _AS_TEXT:
        if name in answer:
            return {"valueString": answer[name]}
    if "valueCoding" in answer:
        return {"valueCodeableConcept": {"coding": _items(answer["valueCoding"])}}
    if "valueDecimal" in answer:
        return {"valueQuantity": {"value": answer["valueDecimal"]}}
    if "valueDate" in answer:
        return {"valueDateTime": answer["valueDate"]}
    if isinstance(attached := answer.get("valueAttachment"), dict):
        return {"valueString": attached.get("title") or attached.get("contentType")}
    if isinstance(pointed := answer.get("valueReference"), dict):
        if pointed.get("type") in {"Patient", "RelatedPerson"} or _PEOPLE.search(str(pointed.get("reference", ""))):
            return {"dataAbsentReason": {"coding": [{"code": "masked"}], "text": "a person"}}
        return {"valueString": pointed.get("display") or pointed.get("reference")}
    return {}


def _codes_of_form(response: Json) -> dict[str, list[Json]]:
    """The codes of questions by `linkId`, where the form stands inside the response."""
    found: dict[str, list[Json]] = {}
    waiting = [each for each in _items(response.get("contained")) if each.get("resourceType") == "Questionnaire"]
    while waiting:
        each = waiting.pop()
        if isinstance(each.get("linkId"), str) and (codings := _items(each.get("code"))):
            found[each["linkId"]] = codings
        waiting += _items(each.get("item"))
    return found


def _is_display(extension: Json) -> bool:
    return extension.get("url") in _DISPLAY


def _extensions(beside: Any) -> list[Json]:
    return _items(beside.get("extension")) if isinstance(beside, dict) else []


def _items(held: Any) -> list[Json]:
    """The objects of a list, or the one that stands in its place."""
    return [each for each in (held if isinstance(held, list) else [held]) if isinstance(each, dict)]
