-- Who has a laboratory result, and how many there are.
select person_key, count(*) as results, max(effective_start) as newest
from {{ source('charthouse', 'lab_results') }}
where not is_entered_in_error
group by person_key
