//! What a column's name says of what it holds, in the languages that people name columns in.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Personal;
use crate::snapshot::mask::without_accents;

/// Words that a name holds as a word, or as several in a row: "first_name" and "firstName" are `firstname`.
const WORDS: &[(Personal, &str)] = &[
    (
        Personal::FirstName,
        "firstname fname givenname givennames forename middlename middleinitial nickname preferredname vorname \
         vornamen rufname prenom prenoms nombres primernombre segundonombre primeironome nomeproprio voornaam \
         voornamen roepnaam imie imiona drugieimie imya otchestvo fornavn fornamn etunimi keresztnev jmeno \
         krestnijmeno isim onad prenume christianname",
    ),
    (
        Personal::LastName,
        "lastname lname surname familyname maidenname nachname familienname zuname geburtsname nomdefamille \
         nomfamille apellido apellidos primerapellido segundoapellido sobrenome apelido cognome achternaam \
         familienaam tussenvoegsel nazwisko familiya familia soyad soyadi soyisim efternavn etternavn efternamn \
         slaktnamn sukunimi vezeteknev prijmeni prezime nume",
    ),
    (
        Personal::Name,
        "fullname realname displayname personname customername username contactname ownername holdername cardholder \
         cardholdername accountholder recipientname sendername authorname employeename patientname studentname \
         guestname passengername mothername mothersmaidenname fathername spouse nextofkin kundenname kontoinhaber \
         ansprechpartner inhaber benutzername anzeigename nomcomplet nomutilisateur nombrecompleto nombreusuario \
         nomecompleto nomeusuario nomecognome nomeutente volledigenaam gebruikersnaam imienazwisko nazwauzytkownika \
         fio polnoeimya adsoyad tamad kullaniciadi fuldenavn fulltnavn brukernavn brugernavn anvandarnamn \
         fullstandigtnamn login loginname userlogin screenname nick handle titular",
    ),
    (
        Personal::Email,
        "email emails mail emailaddress mailaddress emailadresse mailadresse courriel adressemail adresseemail \
         correo correoelectronico correio correioeletronico posta postaelettronica indirizzoemail eposta epost \
         epostadress epostadresse pochta elektronnayapochta adresemail sahkoposti pec useremail replyto mailto gmail",
    ),
    (
        Personal::Phone,
        "phone phones phonenumber phoneno telephone telephonenumber tel telno telnr mobile mobileno mobilenumber \
         mobilephone cell cellphone cellular fax faxnumber msisdn whatsapp homephone workphone contactnumber telefon \
         telefonnummer rufnummer handy handynummer mobilnummer mobiltelefon mobil festnetz portable numerotelephone \
         telefono movil celular telemovel telefone cellulare numeroditelefono telefoon telefoonnummer mobiel gsm \
         nrtelefonu komorka komorkowy nomertelefona mobilnyy ceptelefonu ceptel gsmno tlf mobilnr telefonnr puhelin",
    ),
    (
        Personal::Street,
        "address addr addressline streetaddress postaladdress homeaddress billingaddress shippingaddress \
         deliveryaddress mailingaddress residence street streetname streetnumber housenumber houseno apartment \
         strasse str hausnummer hausnr anschrift adresse adresszeile wohnadresse lieferadresse rechnungsadresse rue \
         voie direccion domicilio calle endereco morada rua logradouro indirizzo via civico residenza adres straat \
         huisnummer straatnaam ulica nrdomu adreszamieszkania ulitsa adresa dom kvartira sokak cadde mahalle gade \
         vejnavn vej gate gateadresse gata gatuadress adress katuosoite",
    ),
    (
        Personal::City,
        "city town suburb village hometown birthplace placeofbirth stadt ort wohnort geburtsort ville commune \
         lieunaissance ciudad localidad municipio cidade localidade citta comune luogonascita plaats woonplaats \
         geboorteplaats miasto miejscowosc gorod sehir ilce poststed postort bostadsort",
    ),
    (
        Personal::Postcode,
        "zip zipcode postcode postalcode postzip pincode plz postleitzahl codepostal codigopostal cep cap \
         codiceavviamentopostale kodpocztowy pochtovyyindeks postakodu postnummer postnr",
    ),
    (
        Personal::Birth,
        "dob birth birthday birthdate dateofbirth born bornon bornat yearofbirth birthyear geburtstag geburtsdatum \
         gebdat gebdatum geburtsjahr naissance datenaissance datedenaissance nacimiento fechanacimiento \
         fechadenacimiento nascimento datanascimento datadenascimento nascita datanascita datadinascita \
         geboortedatum urodzenia dataurodzenia datarozhdeniya denrozhdeniya dogumtarihi fodselsdato fodselsdag \
         fodelsedatum syntymaaika age alter dateofdeath deathdate",
    ),
    (
        Personal::Card,
        "card cardnumber cardno creditcard creditcardnumber ccnumber ccnum ccno pan debitcard kreditkarte \
         kartennummer kreditkartennummer cartebancaire numerocarte tarjeta numerotarjeta cartao numerocartao \
         numerocarta cartadicredito kaartnummer nrkarty nomerkarty kartno kredikarti kortnummer",
    ),
    (
        Personal::Iban,
        "iban accountnumber bankaccount bankaccountnumber acctno sortcode routingnumber kontonummer ktonr \
         bankverbindung comptebancaire numerocompte rib cuentabancaria contabancaria contocorrente rekeningnummer \
         nrkonta numerkonta hesapno kontonr nomerscheta bban",
    ),
    (
        Personal::NationalId,
        "ssn socialsecurity socialsecuritynumber nationalid nationalinsurance nino taxid taxnumber tin itin passport \
         passportnumber passportno idcard idnumber identitycard driverslicense driverlicense drivinglicence \
         licenseplate nhsnumber insurancenumber medicarenumber aadhaar steuerid steuernummer \
         sozialversicherungsnummer svnr svnummer ausweisnummer personalausweis reisepass krankenversichertennummer \
         kennzeichen ahvnummer ahv numerosecuritesociale securitesociale nir passeport carteidentite dni nie nif cif \
         pasaporte cedula curp rfc cpf cnpj rg cnh passaporte contribuinte codicefiscale partitaiva passaporto \
         cartaidentita bsn burgerservicenummer sofinummer paspoort rijbewijs pesel nip regon dowod nrdowodu paszport \
         inn snils pasport tckimlik tckn tcno kimlikno vergino pasaportno cpr cprnummer fodselsnummer personnummer \
         pnr henkilotunnus hetu rodnecislo cnp egn jmbg oib",
    ),
    (
        Personal::Address,
        "ip ipaddress ipaddr ipv4 ipv6 remoteaddr remoteaddress clientip userip lastip signupip remotehost mac \
         macaddress macaddr adresseip direccionip enderecoip indirizzoip adresip ipadresse ipadres ipadress",
    ),
    (
        Personal::Device,
        "deviceid devicetoken imei imsi udid idfa gaid advertisingid serialnumber useragent browser fingerprint \
         cookie sessionid trackingid pushtoken",
    ),
    (
        Personal::Location,
        "lat latitude lng lon longitude latlng latlon geo geolocation geopoint gps coordinates coords breitengrad \
         laengengrad latitud longitud enlem boylam",
    ),
    (
        Personal::Credential,
        "password passwd pwd passphrase passwordhash passwort kennwort motdepasse mdp contrasena clave senha \
         palavrapasse wachtwoord haslo parol sifre parola adgangskode passord losenord salasana token accesstoken \
         refreshtoken authtoken apikey apitoken secret secretkey clientsecret privatekey salt otp totp otpsecret \
         mfasecret pin cvv cvc securityanswer recoverycode resettoken rememberdigest passworddigest \
         encryptedpassword",
    ),
    (
        Personal::Sensitive,
        "gender sex geschlecht sexe sexo genero sesso genere geslacht plec pol cinsiyet kjonn kon religion \
         konfession religione ethnicity race nationality staatsangehoerigkeit staatsangehorigkeit nationalite \
         nacionalidad nacionalidade nazionalita nationaliteit obywatelstwo maritalstatus familienstand etatcivil \
         estadocivil statocivile diagnosis diagnose diagnostic diagnostico diagnosi disability bloodtype bloodgroup \
         blutgruppe medication allergies allergy symptoms medicalhistory healthinsurance krankenkasse salary \
         salaries wage income gehalt lohn einkommen salaire salario stipendio salaris wynagrodzenie zarplata maas \
         lon sexualorientation politicalparty criminal",
    ),
    (Personal::Company, "company companyname employer firma arbeitgeber entreprise employeur empresa azienda bedrijf"),
];

/// Words that tell a kind wherever they stand within another, as in compounds.
const WITHIN: &[(Personal, &str)] = &[
    (Personal::Email, "email"),
    (Personal::FirstName, "vorname"),
    (Personal::FirstName, "firstname"),
    (Personal::LastName, "nachname"),
    (Personal::LastName, "lastname"),
    (Personal::LastName, "surname"),
    (Personal::Phone, "telefon"),
    (Personal::Phone, "telephone"),
    (Personal::Phone, "phonenum"),
    (Personal::Birth, "geburt"),
    (Personal::Birth, "birthda"),
    (Personal::Street, "strasse"),
    (Personal::Street, "anschrift"),
    (Personal::Street, "adresse"),
    (Personal::Credential, "passwor"),
    (Personal::Card, "creditcard"),
];

/// A name of somebody, where the table is of somebody.
const NAMES: &str = "name names nom nombre nome naam nazwa navn namn nimi ad adi isim title bezeichnung";

/// Whom tables are of.
const PEOPLE: &str = "user users customer customers client clients person persons people patient patients employee employees member \
    members contact contacts guest guests student students teacher teachers author authors subscriber subscribers \
    driver drivers applicant applicants candidate candidates passenger passengers owner owners staff visitor \
    visitors lead leads profile profiles account accounts kunde kunden benutzer mitarbeiter personen patienten \
    mitglied mitglieder nutzer teilnehmer utilisateur utilisateurs personne personnes membre membres usuario \
    usuarios cliente clientes persona personas empleado empleados pessoa pessoas utente utenti clienti persone \
    dipendente dipendenti gebruiker gebruikers klant klanten medewerker uzytkownik uzytkownicy klient klienci osoba \
    osoby pracownik polzovatel polzovateli klienty kullanici kullanicilar musteri musteriler kisi kisiler bruger \
    brugere kunder ansatte medarbejder anvandare kund bruker brukere asiakas sotrudnik sotrudniki";

/// At the end of a name they say that it is about something and not that thing: "email_count", "phone_type".
const ABOUT: &str = "count cnt total sum avg size length len type kind status state flag enabled disabled verified confirmed valid \
    required allowed optin optout template format version at on by date time timestamp expires expiry attempts limit \
    quota policy provider brand anzahl typ tipo statut estado aantal liczba rodzaj";

/// At the beginning they say that a yes or no follows.
const ASKING: &str = "is has can should allow allows enable enabled use needs";

/// What the name says, where it says anything. `table` may be empty.
pub fn by_name(table: &str, column: &str) -> Option<Personal> {
    let words = words(column);
    let last = words.last()?;
    let found = said(&words);
    let asks = words.len() > 1 && has(ASKING, &words[0]);
    let about = words.len() > 1 && has(ABOUT, last);
    // "blood_type" is what it says, and "phone_type" is not: there the word found ends before the last one.
    let is_about = asks || (about && found.is_none_or(|(end, _)| end < words.len()));
    let found = found.map(|(_, kind)| kind);
    if is_about {
        // What is said of a birth tells of it.
        return found.filter(|kind| *kind == Personal::Birth);
    }
    if found.is_some() {
        return found;
    }
    let of_people = self::words(table).iter().any(|word| has(PEOPLE, word));
    (of_people && has(NAMES, &words.concat())).then_some(Personal::Name)
}

/// The kind with the longest word in the name, and the end of that word among the name's.
fn said(words: &[String]) -> Option<(usize, Personal)> {
    let mut best: Option<(usize, usize, Personal)> = None;
    let mut found = |length: usize, end: usize, kind| {
        if best.is_none_or(|(longest, ..)| length > longest) {
            best = Some((length, end, kind));
        }
    };
    for start in 0..words.len() {
        for end in start + 1..=words.len().min(start + 4) {
            let joined = words[start..end].concat();
            // Words of some languages are short ones of others, as "via" and "cap": those have to be the whole name.
            let whole = words.len() == 1 || end - start > 1;
            if joined.len() <= 3 && !whole && !has(UNMISTAKABLE, &joined) {
                continue;
            }
            if let Some(kind) = KINDS.get(joined.as_str()) {
                found(joined.len(), end, *kind);
            }
        }
        for (kind, part) in WITHIN.iter().filter(|(_, part)| words[start].contains(part)) {
            found(part.len(), start + 1, *kind);
        }
    }
    best.map(|(_, end, kind)| (end, kind))
}

/// Each of [`WORDS`]; of one that stands twice, the first.
static KINDS: LazyLock<HashMap<&str, Personal>> = LazyLock::new(|| {
    let all = WORDS.iter().rev().flat_map(|(kind, words)| words.split(' ').map(|word| (word, *kind)));
    all.collect()
});

fn has(words: &str, word: &str) -> bool {
    words.split(' ').any(|known| known == word)
}

/// Short words that mean one thing in any company.
const UNMISTAKABLE: &str =
    "ip dob ssn tel fax zip plz dni nif cpf bsn pin cvv cvc otp pwd lat lng lon gps mac cpr age sex";

/// The words of a name, in lower case and without accents: split where the case changes, and at whatever is no letter.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let letters: Vec<char> = name.chars().collect();
    for (at, c) in letters.iter().enumerate() {
        if !c.is_alphabetic() {
            words.push(String::new());
            continue;
        }
        let before = at.checked_sub(1).map(|before| letters[before]);
        let after = letters.get(at + 1);
        let begins = c.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase() || (before.is_uppercase() && after.is_some_and(|after| after.is_lowercase()))
            });
        if begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push_str(&without_accents(&c.to_lowercase().to_string()));
        }
    }
    words.retain(|word| !word.is_empty());
    // "ipv4" and "addressLine1" end in digits, "e_mail" begins with a letter of its own.
    if let Some(at) =
        words.windows(2).position(|pair| pair[0] == "e" && (pair[1].starts_with("mail") || pair[1].starts_with("post")))
    {
        let rest = words.remove(at + 1);
        words[at].push_str(&rest);
    }
    words
}
