"""Code systems, and the codes that the made-up records use: published, common ones, with plausible numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

LOINC: Final = "http://loinc.org"
SNOMED: Final = "http://snomed.info/sct"
RXNORM: Final = "http://www.nlm.nih.gov/research/umls/rxnorm"
CVX: Final = "http://hl7.org/fhir/sid/cvx"
NDC: Final = "http://hl7.org/fhir/sid/ndc"
ICD10: Final = "http://hl7.org/fhir/sid/icd-10-cm"
CPT: Final = "http://www.ama-assn.org/go/cpt"
UCUM: Final = "http://unitsofmeasure.org"
LOCAL: Final = "urn:oid:1.2.840.114350.1.13.0.1.7.2.768282"
_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem/"
US_CORE: Final = "http://hl7.org/fhir/us/core/StructureDefinition/"

Json = dict[str, Any]


def system(name: str) -> str:
    """The URL of a code system of terminology.hl7.org."""
    return _TERMINOLOGY + name


def coding(system_url: str, code: str, display: str) -> Json:
    """A Coding."""
    return {"system": system_url, "code": code, "display": display}


def concept(system_url: str, code: str, display: str) -> Json:
    """A CodeableConcept of one coding, with its display as text."""
    return {"coding": [coding(system_url, code, display)], "text": display}


def hl7(name: str, code: str) -> Json:
    """A CodeableConcept from terminology.hl7.org, without texts."""
    return {"coding": [{"system": _TERMINOLOGY + name, "code": code}]}


@dataclass(frozen=True, slots=True)
class Lab:
    """A laboratory test: a normal distribution around `mean`, a reference range, and the decimals it is told with."""

    loinc: str
    name: str
    mean: float
    spread: float
    low: float
    high: float
    unit: str
    ucum: str
    decimals: int
    local: str


METABOLIC: Final = (
    Lab("2345-7", "Glucose [Mass/volume] in Serum or Plasma", 98, 14, 70, 99, "mg/dL", "mg/dL", 0, "GLU"),
    Lab("3094-0", "Urea nitrogen [Mass/volume] in Serum or Plasma", 14, 4, 7, 20, "mg/dL", "mg/dL", 0, "BUN"),
    Lab("2160-0", "Creatinine [Mass/volume] in Serum or Plasma", 0.95, 0.18, 0.6, 1.2, "mg/dL", "mg/dL", 2, "CREA"),
    Lab("17861-6", "Calcium [Mass/volume] in Serum or Plasma", 9.4, 0.4, 8.6, 10.2, "mg/dL", "mg/dL", 1, "CA"),
    Lab("2951-2", "Sodium [Moles/volume] in Serum or Plasma", 140, 2.4, 135, 145, "mmol/L", "mmol/L", 0, "NA"),
    Lab("2823-3", "Potassium [Moles/volume] in Serum or Plasma", 4.2, 0.4, 3.5, 5.1, "mmol/L", "mmol/L", 1, "K"),
    Lab("2075-0", "Chloride [Moles/volume] in Serum or Plasma", 103, 2.5, 98, 107, "mmol/L", "mmol/L", 0, "CL"),
    Lab("1742-6", "Alanine aminotransferase [Enzymatic activity/volume] in Serum or Plasma", 25, 9, 7, 56, "U/L", "U/L",
        0, "ALT"),
    Lab("1751-7", "Albumin [Mass/volume] in Serum or Plasma", 4.3, 0.3, 3.5, 5.0, "g/dL", "g/dL", 1, "ALB"),
)  # fmt: skip
BLOOD_COUNT: Final = (
    Lab("6690-2", "Leukocytes [#/volume] in Blood by Automated count", 6.8, 1.7, 4.5, 11.0, "10*3/uL", "10*3/uL", 1,
        "WBC"),
    Lab("789-8", "Erythrocytes [#/volume] in Blood by Automated count", 4.7, 0.4, 4.1, 5.6, "10*6/uL", "10*6/uL", 2,
        "RBC"),
    Lab("718-7", "Hemoglobin [Mass/volume] in Blood", 14.1, 1.2, 12.0, 17.0, "g/dL", "g/dL", 1, "HGB"),
    Lab("4544-3", "Hematocrit [Volume Fraction] of Blood by Automated count", 42, 3.5, 36, 50, "%", "%", 1, "HCT"),
    Lab("777-3", "Platelets [#/volume] in Blood by Automated count", 245, 50, 150, 400, "10*3/uL", "10*3/uL", 0, "PLT"),
)  # fmt: skip
LIPIDS: Final = (
    Lab("2093-3", "Cholesterol [Mass/volume] in Serum or Plasma", 188, 34, 0, 200, "mg/dL", "mg/dL", 0, "CHOL"),
    Lab("2571-8", "Triglyceride [Mass/volume] in Serum or Plasma", 128, 55, 0, 150, "mg/dL", "mg/dL", 0, "TRIG"),
    Lab("2085-9", "Cholesterol in HDL [Mass/volume] in Serum or Plasma", 54, 13, 40, 90, "mg/dL", "mg/dL", 0, "HDL"),
    Lab("13457-7", "Cholesterol in LDL [Mass/volume] in Serum or Plasma by calculation", 109, 30, 0, 130, "mg/dL",
        "mg/dL", 0, "LDLC"),
)  # fmt: skip
DIABETES: Final = (
    Lab("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", 5.7, 0.9, 4.0, 5.6, "%", "%", 2, "A1C"),
    Lab("3016-3", "Thyrotropin [Units/volume] in Serum or Plasma", 2.1, 0.9, 0.4, 4.5, "uIU/mL", "u[IU]/mL", 2, "TSH"),
)
PANELS: Final = (
    ("24323-8", "Comprehensive metabolic 2000 panel - Serum or Plasma", METABOLIC),
    ("58410-2", "CBC panel - Blood by Automated count", BLOOD_COUNT),
    ("24331-1", "Lipid 1996 panel - Serum or Plasma", LIPIDS),
    ("4548-4", "Hemoglobin A1c and thyrotropin", DIABETES),
)

# SNOMED CT, ICD-10-CM, name, usual age of onset
CONDITIONS: Final = (
    ("38341003", "I10", "Hypertensive disorder", 45),
    ("44054006", "E11.9", "Diabetes mellitus type 2", 50),
    ("55822004", "E78.5", "Hyperlipidemia", 45),
    ("195967001", "J45.909", "Asthma", 20),
    ("35489007", "F32.9", "Depressive disorder", 30),
    ("197480006", "F41.9", "Anxiety disorder", 28),
    ("396275006", "M19.90", "Osteoarthritis", 58),
    ("235595009", "K21.9", "Gastroesophageal reflux disease", 40),
    ("40930008", "E03.9", "Hypothyroidism", 42),
    ("414545008", "I25.9", "Ischemic heart disease", 62),
    ("709044004", "N18.9", "Chronic kidney disease", 64),
    ("37796009", "G43.909", "Migraine", 25),
)
DIAGNOSES: Final = (
    ("444814009", "J32.9", "Viral sinusitis"),
    ("195662009", "J02.9", "Acute viral pharyngitis"),
    ("10509002", "J20.9", "Acute bronchitis"),
    ("68566005", "N39.0", "Urinary tract infectious disease"),
    ("44465007", "S93.409A", "Sprain of ankle"),
    ("279039007", "M54.50", "Low back pain"),
    ("238575004", "L23.9", "Allergic contact dermatitis"),
)
# substance system, code, name, category, reaction code, reaction
ALLERGIES: Final = (
    (RXNORM, "7980", "Penicillin G", "medication", "247472004", "Wheal"),
    (RXNORM, "2670", "Codeine", "medication", "422587007", "Nausea"),
    (RXNORM, "10831", "Sulfamethoxazole / trimethoprim", "medication", "271807003", "Eruption of skin"),
    (SNOMED, "762952008", "Peanut", "food", "39579001", "Anaphylaxis"),
    (SNOMED, "227037002", "Fish", "food", "126485001", "Urticaria"),
    (SNOMED, "256277009", "Grass pollen", "environment", "21719001", "Allergic rhinitis caused by pollen"),
    (SNOMED, "111088007", "Latex", "environment", "40275004", "Contact dermatitis"),
)
# CVX, NDC or "", name, first year, months between doses
VACCINES: Final = (
    ("150", "49281-0422-50", "Influenza, injectable, quadrivalent, preservative free", 2013, 12),
    ("208", "59267-1000-01", "COVID-19, mRNA, LNP-S, PF, 30 mcg/0.3 mL dose", 2021, 9),
    ("115", "58160-0842-11", "Tdap", 2006, 120),
    ("187", "58160-0819-12", "Zoster vaccine recombinant", 2018, 72),
    ("43", "", "Hepatitis B, adult", 2005, 120),
    ("133", "00005-1971-02", "Pneumococcal conjugate PCV 13", 2012, 120),
)
# RxNorm, name, dose form, amount of a dose, unit of the dose, times a day, treats (SNOMED CT)
MEDICATIONS: Final = (
    ("314076", "lisinopril 10 MG Oral Tablet", "385055001", 1, "{tbl}", 1, "38341003"),
    ("860975", "24 HR metformin hydrochloride 500 MG Extended Release Oral Tablet", "385061003", 1, "{tbl}", 2,
     "44054006"),
    ("617312", "atorvastatin 20 MG Oral Tablet", "385055001", 1, "{tbl}", 1, "55822004"),
    ("745752", "albuterol 0.09 MG/ACTUAT Metered Dose Inhaler", "420847001", 2, "{puff}", 4, "195967001"),
    ("312940", "sertraline 50 MG Oral Tablet", "385055001", 1, "{tbl}", 1, "35489007"),
    ("966247", "levothyroxine sodium 0.05 MG Oral Tablet", "385055001", 1, "{tbl}", 1, "40930008"),
    ("198051", "omeprazole 20 MG Delayed Release Oral Capsule", "385051005", 1, "{capsule}", 1, "235595009"),
    ("310965", "ibuprofen 200 MG Oral Tablet", "385055001", 2, "{tbl}", 3, "279039007"),
    ("308182", "amoxicillin 250 MG Oral Capsule", "385049006", 1, "{capsule}", 3, "444814009"),
)  # fmt: skip
# SNOMED CT, CPT or "", name, minutes
PROCEDURES: Final = (
    ("73761001", "45378", "Colonoscopy", 45),
    ("29303009", "93000", "Electrocardiographic procedure", 10),
    ("268425006", "", "Pelvic examination", 15),
    ("71651007", "77067", "Mammography", 20),
    ("430193006", "", "Medication reconciliation", 10),
    ("80146002", "44970", "Excision of appendix", 75),
    ("18946005", "", "Epidural anesthesia", 30),
    ("40701008", "93306", "Echocardiography", 40),
)
# act class, CPT, SNOMED CT, name, minutes
VISITS: Final = (
    ("AMB", "99213", "185349003", "Encounter for check up", 30),
    ("AMB", "99214", "185345009", "Encounter for symptom", 25),
    ("AMB", "99395", "410620009", "Well adult visit", 40),
    ("VR", "99442", "185317003", "Telephone encounter", 15),
    ("EMER", "99283", "50849002", "Emergency room admission", 240),
    ("IMP", "99223", "183452005", "Emergency hospital admission", 4320),
)
SMOKING: Final = (
    ("266919005", "Never smoked tobacco"),
    ("8517006", "Ex-smoker"),
    ("449868002", "Smokes tobacco daily"),
    ("428041000124106", "Occasional tobacco smoker"),
)
PREGNANCY_COUNTS: Final = (
    ("11636-8", "[#] Births.live"),
    ("11637-6", "[#] Births.preterm"),
    ("11638-4", "[#] Births.still living"),
    ("11639-2", "[#] Births.term"),
    ("11640-0", "[#] Births total"),
    ("11612-9", "[#] Abortions"),
    ("11613-7", "[#] Abortions.induced"),
    ("11614-5", "[#] Abortions.spontaneous"),
    ("33065-4", "[#] Ectopic pregnancy"),
)
PLACES: Final = (
    ("Portland", "OR", "97205"), ("Columbus", "OH", "43215"), ("Austin", "TX", "78701"), ("Madison", "WI", "53703"),
    ("Denver", "CO", "80202"), ("Raleigh", "NC", "27601"), ("Tucson", "AZ", "85701"), ("Spokane", "WA", "99201"),
)  # fmt: skip
GIVEN: Final = {
    "female": ("Maria", "Aisha", "Linda", "Grace", "Yuki", "Priya", "Zoë", "Carmen", "Ngozi", "Ruth", "Ana", "Helen"),
    "male": ("James", "Omar", "Luis", "Wei", "Daniel", "Kofi", "Anton", "Raúl", "Peter", "Samir", "Jack", "Tomás"),
}
FAMILY: Final = (
    "Abbott", "Nguyen", "Garcia", "O'Brien", "Okafor", "Schmidt", "Patel", "Johnson", "Kowalski", "Núñez", "Kim",
    "Haddad", "Larsen", "Washington", "Begay", "Rossi", "Cohen", "Van Dyke", "Sato", "Moreau",
)  # fmt: skip
RACES: Final = (
    ("2106-3", "White"), ("2054-5", "Black or African American"), ("2028-9", "Asian"),
    ("1002-5", "American Indian or Alaska Native"), ("2076-8", "Native Hawaiian or Other Pacific Islander"),
)  # fmt: skip
