#include "data/speech/synth/vocabulary.h"

namespace rehearse::synth {

// Words that are spelled alike but spoken in two ways (read, live, lead, record) are left out on purpose.
const char* const kSharedRules = R"(
digit: zero | one | two | three | four | five | six | seven | eight | nine
unit: one | two | three | four | five | six | seven | eight | nine
teen: ten | eleven | twelve | thirteen | fourteen | fifteen | sixteen | seventeen | eighteen | nineteen
tens: twenty | thirty | forty | fifty | sixty | seventy | eighty | ninety
number: {unit} | {teen} | {tens} | {tens} {unit}
ordinal: first | second | third | fourth | fifth | sixth | seventh | eighth | ninth | tenth | twentieth | thirtieth
weekday: monday | tuesday | wednesday | thursday | friday | saturday | sunday
month: january | february | march | april | may | june | july | august | september | october | november | december
hour: one | two | three | four | five | six | seven | eight | nine | ten | eleven | twelve
clock: {hour} thirty | {hour} fifteen | {hour} forty five | {hour} twenty | {hour} ten
date: {month} the {ordinal} | the {ordinal} of {month} | {weekday} the {ordinal} of {month}
price: {number} dollars | {number} dollars and {tens} cents | {tens} cents
person: alice | henry | martin | sarah | robert | emma | peter | laura | david | julia | oliver | nina
)";

const char* const kStudioRules = R"(
sentence: the {thing} was {state} on {date}
sentence: {person} {past} the {adjective} {thing} in the {place}
sentence: the {adjective} {thing} stood behind the {place} every {season}
sentence: {person} and {person} were born on {date}
sentence: there were {number} {plural} in the {adjective} {place}
sentence: {person} {past} {number} {plural} before {weekday}
sentence: in the {season} the {place} is {adjective} and {adjective}
sentence: the {ordinal} {thing} in the {place} was {adjective}
thing: garden | picture | letter | window | story | table | bridge | river | clock | castle
state: finished | painted | opened | found | sold
past: painted | found | remembered | visited | carried | counted
adjective: quiet | golden | narrow | ancient | simple | bright | empty | gentle
place: village | library | forest | school | valley | harbour | museum
season: spring | summer | autumn | winter
plural: letters | pictures | children | flowers | stories | horses
)";

const char* const kPhoneRules = R"(
sentence: my {account} number is {digit} {digit} {digit} {digit}
sentence: please call me back at {digit} {digit} {digit} {digit} {digit}
sentence: hello this is {person} from the {office}
sentence: the {bill} of {price} is due on {weekday}
sentence: i would like to {action} my {account} on {weekday}
sentence: your {account} has been charged {price}
sentence: can you {action} the {bill} before {weekday} at {clock}
sentence: i want to speak to {person} about my {bill}
sentence: extension {digit} {digit} in the {office} is busy please hold
sentence: we will {action} your {account} within {number} days
account: account | membership | policy | booking | ticket
bill: payment | invoice | refund | balance | delivery
action: cancel | confirm | change | renew | check
office: billing office | support team | sales team | head office | bank
)";

const char* const kRadioRules = R"(
sentence: {sky} with {weather} expected in the {region} on {weekday}
sentence: the temperature will reach {number} degrees by {weekday} {daytime}
sentence: you are listening to the {daytime} {show} with {person}
sentence: it is {clock} and here is the {topic} news
sentence: the {topic} minister said taxes will rise by {number} percent
sentence: our next {song} was recorded in {month}
sentence: the {team} won the match by {number} points
sentence: after the {song} we talk with {person}
sentence: {weather} in the {region} will turn to {weather}
sentence: the {show} returns on {weekday} at {clock}
sky: cloudy skies | clear skies | heavy clouds
weather: rain | snow | sunshine | storms | fog | thunder
region: north | south | east | west | mountains | islands
daytime: morning | afternoon | evening | tonight
show: programme | concert | interview | broadcast
topic: local | foreign | sports | business | finance
song: song | album | symphony | melody
team: visitors | champions | home team | national team
)";

const char* const kCrowdRules = R"(
sentence: can i have {number} {food} and {number} {food} please
sentence: {person} would you bring {food} to table {number}
sentence: turn {switch} the {device} near the {spot}
sentence: we need {number} more {seats} at the {spot}
sentence: that will be {price} for the {food}
sentence: meet me at the {spot} at {clock}
sentence: {person} is waiting near the {spot} with the {seats}
sentence: do you know where {person} put the {seats}
sentence: put the {food} on the {spot} and {command}
sentence: stop the {device} and {command}
sentence: two of us want {food} but {person} wants {food}
food: coffee | sandwiches | apples | soup | cheese | bread | lemonade | pancakes | tea
switch: on | off | up | down
device: music | lights | heater | fan | television | microphone
spot: counter | kitchen | entrance | stage | balcony | door
seats: chairs | plates | glasses | tickets | spoons | napkins
command: wait for me | tell everybody | be careful | come back soon | hurry up
)";

const char* const kDriveRules = R"(
sentence: navigate to {town} avoiding {obstacle}
sentence: take the {exit} towards {town} and {maneuver}
sentence: {maneuver} onto {street} after {number} {distance}
sentence: how far is the nearest {stop}
sentence: find a {stop} along the {road} to {town}
sentence: watch for {obstacle} on the {road} between {town} and {town}
sentence: the {part} needs {service} after {number} thousand {distance}
sentence: check the {part} and the {part}
sentence: set the {control} to {number}
sentence: switch {toggle} the {control} and {maneuver}
sentence: reroute via {street} because of {obstacle}
sentence: my {vehicle} is parked on {street} by the {stop}
sentence: the {vehicle} ahead is {motion} on the {road}
sentence: arriving in {town} in {number} minutes
town: bradford | lancaster | windsor | kingston | arlington | hampton | salisbury | milton | ashford | clayton
town: newport | fairfield | oakland | denver | boston | dallas | preston | cardiff | dover | norwich
street: baker street | mill lane | park avenue | church road | station road | victoria drive | maple street | harvest lane
street: cedar avenue | chestnut drive | highland road | orchard lane | lincoln avenue | union square
obstacle: tolls | roadworks | congestion | flooding | ferries | accidents | potholes | a detour
exit: left exit | right exit | slip road | ramp | roundabout | underpass
maneuver: merge left | keep right | make a turn | overtake | reverse slowly | brake gently | pull over | accelerate
distance: miles | kilometres | yards
stop: garage | charger | petrol station | parking lot | motel | mechanic | car wash | rest area
road: motorway | highway | freeway | bypass | turnpike | tunnel | dual carriageway
part: engine | tyre | battery | radiator | gearbox | clutch | bumper | exhaust | wiper | headlamp | windscreen | oil filter
service: replacing | inspection | greasing | adjusting
control: cruise control | seat warmer | demister | dashboard | mirror | horn | indicator | handbrake
toggle: on | off
vehicle: truck | trailer | van | scooter | taxi | lorry | motorcycle | convertible
motion: swerving | skidding | stalling | braking | speeding
)";

}  // namespace rehearse::synth
