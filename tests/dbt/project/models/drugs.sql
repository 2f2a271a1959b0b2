-- What people take now: a model on a view of the records.
select person_key, drug, rxnorm_code, started
from {{ source('charthouse', 'current_medications') }}
