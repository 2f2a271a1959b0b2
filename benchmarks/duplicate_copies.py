"""People whose record two providers hold: what the second keeps of the first's, as records are copied in the world.

A generator of test data that knows FHIR and what exchanges do to records (other codes, other ids, rounded and converted
values, times moved, words alone), and nothing of how the product tells duplicates. All of it follows one seed.
"""

from __future__ import annotations

import copy
import json
import random
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

Resource = dict[str, Any]

CLINICAL: Final = (
    "AllergyIntolerance", "Condition", "Encounter", "Immunization", "MedicationRequest", "Observation", "Procedure",
)  # fmt: skip
_ICD10: Final = "http://hl7.org/fhir/sid/icd-10-cm"
_RXNORM: Final = "http://www.nlm.nih.gov/research/umls/rxnorm"
_NDC: Final = "http://hl7.org/fhir/sid/ndc"
_CVX: Final = "http://hl7.org/fhir/sid/cvx"
_CPT: Final = "http://www.ama-assn.org/go/cpt"
_LOINC: Final = "http://loinc.org"
_LOCAL: Final = "urn:oid:1.2.840.114350.1.13.99.2.7.2.768282"
_DATES: Final = (
    *("onsetDateTime", "abatementDateTime", "recordedDate", "authoredOn", "occurrenceDateTime", "effectiveDateTime"),
    "issued",
)
_OF_THE_HOUSE: Final = (
    *("encounter", "performer", "requester", "recorder", "location", "participant", "serviceProvider"),
    "reasonReference",
)
"""What a record that came from outside points at no more."""

CONDITIONS: Final = {
    "44054006": ("E11.9", "Type 2 diabetes mellitus without complications"),
    "15777000": ("R73.03", "Prediabetes"),
    "59621000": ("I10", "Essential (primary) hypertension"),
    "55822004": ("E78.5", "Hyperlipidemia, unspecified"),
    "302870006": ("E78.1", "Pure hyperglyceridemia"),
    "162864005": ("E66.9", "Obesity, unspecified"),
    "271737000": ("D64.9", "Anemia, unspecified"),
    "444814009": ("J01.90", "Acute sinusitis, unspecified"),
    "40055000": ("J32.9", "Chronic sinusitis, unspecified"),
    "195662009": ("J02.9", "Acute pharyngitis, unspecified"),
    "43878008": ("J02.0", "Streptococcal pharyngitis"),
    "10509002": ("J20.9", "Acute bronchitis, unspecified"),
    "65363002": ("H66.90", "Otitis media, unspecified, unspecified ear"),
    "66383009": ("K05.10", "Chronic gingivitis, plaque induced"),
    "18718003": ("K06.9", "Disorder of gingiva and edentulous alveolar ridge, unspecified"),
    "109570002": ("K02.9", "Dental caries, unspecified"),
    "82423001": ("G89.29", "Other chronic pain"),
    "278860009": ("M54.50", "Low back pain, unspecified"),
    "1121000119107": ("M54.2", "Cervicalgia"),
    "72892002": ("Z34.90", "Encounter for supervision of normal pregnancy, unspecified, unspecified trimester"),
    "44465007": ("S93.409A", "Sprain of unspecified ligament of unspecified ankle, initial encounter"),
    "70704007": ("S63.509A", "Unspecified sprain of unspecified wrist, initial encounter"),
    "39848009": ("S13.4XXA", "Sprain of ligaments of cervical spine, initial encounter"),
    "73438004": ("Z56.0", "Unemployment, unspecified"),
    "64859006": ("M81.0", "Age-related osteoporosis without current pathological fracture"),
    "239873007": ("M17.9", "Osteoarthritis of knee, unspecified"),
    "431855005": ("N18.1", "Chronic kidney disease, stage 1"),
    "431856006": ("N18.2", "Chronic kidney disease, stage 2 (mild)"),
    "433144002": ("N18.30", "Chronic kidney disease, stage 3 unspecified"),
    "127013003": ("E11.22", "Type 2 diabetes mellitus with diabetic chronic kidney disease"),
    "237602007": ("E88.810", "Metabolic syndrome"),
    "414545008": ("I25.9", "Chronic ischemic heart disease, unspecified"),
    "68496003": ("K63.5", "Polyp of colon"),
    "307426000": ("N30.00", "Acute cystitis without hematuria"),
    "840539006": ("U07.1", "COVID-19"),
    "386661006": ("R50.9", "Fever, unspecified"),
    "49436004": ("I48.91", "Unspecified atrial fibrillation"),
    "233678006": ("J45.909", "Unspecified asthma, uncomplicated"),
    "192127007": ("F90.9", "Attention-deficit hyperactivity disorder, unspecified type"),
    "128613002": ("G40.909", "Epilepsy, unspecified, not intractable, without status epilepticus"),
    "62106007": ("S06.0X0A", "Concussion without loss of consciousness, initial encounter"),
}
"""SNOMED CT → ICD-10-CM with its title, as billing has it."""
BRANDS: Final = {
    "lisinopril": "Prinivil", "hydrochlorothiazide": "Microzide", "amlodipine": "Norvasc", "simvastatin": "Zocor",
    "acetaminophen": "Tylenol", "ibuprofen": "Advil", "albuterol": "ProAir",
    "metformin": "Glucophage", "warfarin": "Coumadin",
    "clopidogrel": "Plavix", "naproxen": "Aleve", "verapamil": "Calan", "digoxin": "Lanoxin", "amoxicillin": "Amoxil",
    "loratadine": "Claritin", "alendronic": "Fosamax", "furosemide": "Lasix", "atorvastatin": "Lipitor",
}  # fmt: skip
VACCINES: Final = {
    "140": [(_CVX, "88", "influenza virus vaccine, unspecified formulation"),
            (_NDC, "49281-0421-50", "Fluzone Quadrivalent"),
            (_CVX, "150", "influenza, injectable, quadrivalent, preservative free")],
    "113": [(_NDC, "49281-0215-10", "TENIVAC"), (_CVX, "139", "Td (adult) unspecified formulation")],
    "114": [(_NDC, "49281-0589-05", "Menactra"), (_CVX, "147", "meningococcal MCV4, unspecified formulation")],
    "133": [(_NDC, "00005-1971-02", "Prevnar 13")],
    "43": [(_NDC, "58160-0821-11", "Engerix-B"), (_CVX, "45", "Hep B, unspecified formulation")],
    "62": [(_NDC, "00006-4045-41", "Gardasil"), (_CVX, "137", "HPV, unspecified formulation")],
    "207": [(_NDC, "80777-0273-10", "Moderna COVID-19 Vaccine"),
            (_CVX, "213", "SARS-COV-2 COVID-19 vaccine, UNSPECIFIED")],
    "208": [(_NDC, "59267-1000-01", "Pfizer-BioNTech COVID-19 Vaccine"),
            (_CVX, "213", "SARS-COV-2 COVID-19 vaccine, UNSPECIFIED")],
    "121": [(_NDC, "00006-4963-41", "ZOSTAVAX"), (_CVX, "188", "zoster, unspecified formulation")],
    "20": [(_CVX, "107", "DTaP, unspecified formulation"), (_NDC, "58160-0810-11", "Infanrix")],
    "10": [(_NDC, "49281-0860-10", "IPOL"), (_CVX, "89", "polio, unspecified formulation")],
    "115": [(_NDC, "58160-0842-11", "Boostrix")],
    "03": [(_NDC, "00006-4681-00", "M-M-R II")],
    "52": [(_CVX, "85", "Hep A, unspecified formulation")],
    "33": [(_NDC, "00006-4943-00", "PNEUMOVAX 23")],
}  # fmt: skip
"""CVX → how another system's record names the same shot."""
VARIANTS: Final = {
    "2339-0": ("2345-7", "Glucose [Mass/volume] in Serum or Plasma"),
    "6299-2": ("3094-0", "Urea nitrogen [Mass/volume] in Serum or Plasma"),
    "38483-4": ("2160-0", "Creatinine [Mass/volume] in Serum or Plasma"),
    "49765-1": ("17861-6", "Calcium [Mass/volume] in Serum or Plasma"),
    "2947-0": ("2951-2", "Sodium [Moles/volume] in Serum or Plasma"),
    "6298-4": ("2823-3", "Potassium [Moles/volume] in Serum or Plasma"),
    "2069-3": ("2075-0", "Chloride [Moles/volume] in Serum or Plasma"),
    "20565-8": ("2028-9", "Carbon dioxide, total [Moles/volume] in Serum or Plasma"),
    "18262-6": ("13457-7", "Cholesterol in LDL [Mass/volume] in Serum or Plasma by calculation"),
    "4548-4": ("17856-6", "Hemoglobin A1c/Hemoglobin.total in Blood by HPLC"),
    "8310-5": ("8331-1", "Oral temperature"),
    "29463-7": ("3141-9", "Body weight Measured"),
    "33914-3": ("48642-3", "GFR/1.73 sq M.predicted among non-blacks [Volume Rate/Area] in Serum or Plasma by MDRD"),
}
SHORT: Final = {
    "2339-0": "GLUCOSE", "6299-2": "BUN", "38483-4": "CREATININE", "49765-1": "CALCIUM", "2947-0": "SODIUM",
    "6298-4": "POTASSIUM", "2069-3": "CHLORIDE", "20565-8": "CO2", "4548-4": "HGB A1C", "2093-3": "CHOLESTEROL, TOTAL",
    "2571-8": "TRIGLYCERIDES", "18262-6": "LDL CHOLESTEROL", "2085-9": "HDL CHOLESTEROL", "718-7": "HEMOGLOBIN",
    "4544-3": "HEMATOCRIT", "6690-2": "WBC", "789-8": "RBC", "777-3": "PLATELETS", "8867-4": "PULSE", "9279-1": "RESP",
    "29463-7": "WEIGHT", "8302-2": "HEIGHT", "39156-5": "BMI",
}  # fmt: skip
"""What laboratories and nurses call it, without a code."""
UNITS: Final = {
    "2339-0": ("mmol/L", 1 / 18.016, 1), "2345-7": ("mmol/L", 1 / 18.016, 1), "2093-3": ("mmol/L", 1 / 38.67, 2),
    "2571-8": ("mmol/L", 1 / 88.57, 2), "18262-6": ("mmol/L", 1 / 38.67, 2), "2085-9": ("mmol/L", 1 / 38.67, 2),
    "38483-4": ("umol/L", 88.42, 0), "2160-0": ("umol/L", 88.42, 0), "29463-7": ("[lb_av]", 2.20462, 1),
    "8302-2": ("[in_i]", 1 / 2.54, 1),
}  # fmt: skip
"""The other unit that it is reported in: code, factor, digits."""
CPT: Final = {
    "185347001": (
        "99213",
        "Office or other outpatient visit for the evaluation of an established patient",
    ),
    "162673000": ("99396", "Periodic comprehensive preventive medicine reevaluation, established patient, 40-64 years"),
    "185349003": ("99395", "Periodic preventive medicine reevaluation"),
    "410620009": ("99392", "Well child visit"),
    "702927004": ("99051", "Urgent care visit"),
    "50849002": ("99283", "Emergency department visit for the evaluation and management of a patient"),
}
ALLERGIES: Final = {
    "84489001": ("419474003", "Allergy to mould"), "264287008": ("232347008", "Dander (animal) allergy"),
    "256277009": ("418689008", "Allergy to grass pollen"), "260147004": ("232350006", "House dust mite allergy"),
    "782576004": ("419263009", "Allergy to tree pollen"), "288328004": ("424213003", "Allergy to bee venom"),
    "735029006": ("300913006", "Shellfish allergy"), "762952008": ("91935009", "Allergy to peanut"),
    "102263004": ("91930004", "Allergy to egg"), "3718001": ("425525006", "Allergy to dairy product"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Noise:
    """How often each thing happens to a copy."""

    shared: float = 0.4
    """How much of a record both providers hold; of the rest each holds half."""
    recode: float = 0.45
    words_only: float = 0.1
    codes_only: float = 0.08
    day_only: float = 0.2
    zone: float = 0.15
    minutes: float = 0.08
    rounded: float = 0.2
    converted: float = 0.25
    status: float = 0.15
    onset: float = 0.2
    external: float = 0.3
    same_id: float = 0.1


@dataclass(slots=True)
class Split:
    """What each of two providers holds of one person. `truth`: (type, id) at the first → id at the second."""

    first: list[Resource] = field(default_factory=list)
    second: list[Resource] = field(default_factory=list)
    truth: dict[tuple[str, str], str] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    alike: dict[tuple[int, str, str], str] = field(default_factory=dict)
    """(provider, type, id) → what the source said of it: records that the source itself has twice are one."""


def split(resources: Iterable[Resource], seed: int, noise: Noise | None = None) -> Split:
    """One person's resources over two providers. What is not clinical both have."""
    dice, noise, made = random.Random(seed), noise or Noise(), Split()  # noqa: S311 - not a secret
    for resource in resources:
        if resource["resourceType"] not in CLINICAL:
            made.first.append(resource)
            made.second.append(resource)
            continue
        draw = dice.random()
        both = draw < noise.shared
        said = {
            name: value for name, value in resource.items() if name not in {"id", "identifier", "meta", "encounter"}
        }
        source = sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
        number = 1 if both or draw < noise.shared + (1 - noise.shared) / 2 else 2
        (made.first if number == 1 else made.second).append(resource)
        made.alike[number, resource["resourceType"], resource["id"]] = source
        if both:
            copied = _Copy(copy.deepcopy(resource), dice, noise, made.done)
            made.second.append(copied.made())
            made.truth[resource["resourceType"], resource["id"]] = copied.resource["id"]
            made.alike[2, resource["resourceType"], copied.resource["id"]] = source
    return made


class _Copy:
    """One record on its way into another system."""

    def __init__(self, resource: Resource, dice: random.Random, noise: Noise, done: Counter[str]) -> None:
        self.resource, self.dice, self.noise, self.done = resource, dice, noise, done

    def happens(self, what: str) -> bool:
        """Whether it happens this time; counted."""
        if self.dice.random() < getattr(self.noise, what):
            self.done[what] += 1
            return True
        return False

    def made(self) -> Resource:
        kind = self.resource["resourceType"]
        if not self.happens("same_id"):
            self.resource["id"] = str(uuid.UUID(int=self.dice.getrandbits(128), version=4))
            self.resource.pop("identifier", None)
        self.resource["meta"] = {"lastUpdated": f"2024-0{self.dice.randint(1, 9)}-1{self.dice.randint(0, 9)}T08:00:00Z"}
        self.coded(kind)
        self.values(kind)
        self.times(kind)
        if self.happens("status"):
            self.changed(kind)
        if self.happens("external"):
            self.from_outside(kind)
        return self.resource

    def concept(self, kind: str) -> dict[str, Any] | None:
        where = {"Immunization": "vaccineCode", "MedicationRequest": "medicationCodeableConcept", "Encounter": "type"}
        found = self.resource.get(where.get(kind, "code"))
        return found[0] if isinstance(found, list) and found else found if isinstance(found, dict) else None

    def coded(self, kind: str) -> None:
        concept = self.concept(kind)
        if not concept or not concept.get("coding"):
            return
        coding = concept["coding"][0]
        display = coding.get("display") or concept.get("text") or ""
        other = self.recoded(kind, coding["code"], display) if self.happens("recode") else None
        if other:
            system, code, name = other
            concept["coding"] = [{"system": system, "code": code, "display": name}] if system else []
            concept["text"] = name
            if not concept["coding"]:
                del concept["coding"]
        elif self.happens("words_only"):
            concept.clear()
            concept["text"] = display.replace(" (disorder)", "").replace(" (finding)", "").replace(" (procedure)", "")
        elif self.happens("codes_only"):
            concept.pop("text", None)
            for each in concept["coding"]:
                each.pop("display", None)

    def recoded(self, kind: str, code: str, display: str) -> tuple[str | None, str, str] | None:
        if kind == "Condition" and code in CONDITIONS:
            return (_ICD10, *CONDITIONS[code])
        if kind == "Immunization" and code in VACCINES:
            return self.dice.choice(VACCINES[code])
        if kind == "Encounter" and code in CPT:
            return (_CPT, *CPT[code])
        if kind == "AllergyIntolerance" and code in ALLERGIES:
            return ("http://snomed.info/sct", *ALLERGIES[code])
        if kind == "MedicationRequest":
            return self.drug(display)
        if kind == "Observation":
            choices: list[tuple[str | None, str, str]] = []
            if code in VARIANTS:
                choices.append((_LOINC, *VARIANTS[code]))
            if code in SHORT:
                choices.append((self.dice.choice([None, _LOCAL]), "10543", SHORT[code]))
            return self.dice.choice(choices) if choices else None
        return None

    def drug(self, display: str) -> tuple[str | None, str, str] | None:
        if "/" in display.replace("MG/", "").replace("UNT/", "") or "[" in display:
            return (_NDC, f"5{self.dice.randint(1000, 9999)}-0{self.dice.randint(100, 999)}-01", display.upper())
        generic = next((word.lower() for word in display.split() if word.lower() in BRANDS), None)
        if generic is None:
            return (_NDC, f"6{self.dice.randint(1000, 9999)}-0{self.dice.randint(100, 999)}-30", display.upper())
        strength = display.lower().partition(generic)[2].strip()
        way = self.dice.randrange(4)
        if way == 0:
            return (_RXNORM, str(self.dice.randint(200_000, 900_000)), f"{display} [{BRANDS[generic]}]")
        if way == 1:
            return (_RXNORM, str(self.dice.randint(1_000, 40_000)), generic)
        if way == 2:
            return (None, "", f"{BRANDS[generic]} {strength}")
        label = display.upper().replace(" MG ", "MG ").replace("ORAL TABLET", "TAB")
        return (_NDC, f"0{self.dice.randint(1000, 9999)}-0{self.dice.randint(100, 999)}-05", label)

    def values(self, kind: str) -> None:
        if kind != "Observation" or "valueQuantity" not in self.resource:
            return
        quantity = self.resource["valueQuantity"]
        code = self.resource["code"].get("coding", [{}])[0].get("code")
        if code in UNITS and self.happens("converted"):
            unit, factor, digits = UNITS[code]
            quantity.update(value=round(quantity["value"] * factor, digits), unit=unit, code=unit)
        elif self.happens("rounded"):
            value = float(quantity["value"])
            quantity["value"] = round(value, 1) if abs(value) < 20 else round(value)

    def times(self, kind: str) -> None:
        if kind == "Condition" and self.happens("onset"):
            self.shift(["onsetDateTime"], timedelta(days=self.dice.choice([-400, -60, -20, 15, 45, 300])))
            return
        if self.happens("day_only"):
            self.each(_DATES, lambda moment: moment[:10])
        elif self.happens("zone"):
            zone = timezone(timedelta(hours=self.dice.choice([0, -8, 1])))
            self.each(_DATES, lambda moment: datetime.fromisoformat(moment).astimezone(zone).isoformat())
        elif kind in {"Observation", "Procedure"} and self.happens("minutes"):
            self.shift(_DATES, timedelta(minutes=self.dice.randint(1, 40)))

    def each(self, names: Iterable[str], change: Any) -> None:
        for name in names:
            if len(self.resource.get(name, "")) > 10:
                self.resource[name] = change(self.resource[name])
        for name in ("period", "performedPeriod", "effectivePeriod"):
            for end in ("start", "end"):
                if len(self.resource.get(name, {}).get(end, "")) > 10:
                    self.resource[name][end] = change(self.resource[name][end])

    def shift(self, names: Iterable[str], by: timedelta) -> None:
        self.each(names, lambda moment: (datetime.fromisoformat(moment) + by).isoformat())

    def changed(self, kind: str) -> None:
        if kind == "Condition":
            active = self.resource.get("clinicalStatus", {}).get("coding", [{}])[0].get("code") == "active"
            self.resource["clinicalStatus"] = {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
                        "code": "resolved" if active else "active",
                    }
                ]
            }
            self.resource.pop("abatementDateTime", None)
        elif kind == "MedicationRequest":
            self.resource["status"] = "completed" if self.resource.get("status") == "active" else "active"
        elif kind == "Observation":
            self.resource["status"] = "amended"

    def from_outside(self, kind: str) -> None:
        for name in _OF_THE_HOUSE:
            self.resource.pop(name, None)
        if kind == "MedicationRequest":
            self.resource.update(reportedBoolean=True, intent="plan")
        elif kind == "Immunization":
            self.resource["primarySource"] = False
