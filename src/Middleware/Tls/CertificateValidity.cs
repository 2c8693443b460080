using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary>Whether a certificate's validity includes the present.</summary>
internal enum ValidityState
{
    Valid,
    NotYetValid,

    /// <summary>Valid for no more than a tenth of its lifetime, and 14 days.</summary>
    Expiring,

    Expired,
}

/// <summary>When a certificate is valid, and when that was last warned of: at each change to a state that is not valid, and daily in it.</summary>
/// <param name="subject">Its name.</param>
/// <param name="notBefore">Valid from then.</param>
/// <param name="notAfter">Valid until then.</param>
internal sealed class CertificateValidity(string subject, DateTimeOffset notBefore, DateTimeOffset notAfter)
{
    private static readonly TimeSpan WarningPeriod = TimeSpan.FromDays(1);
    private static readonly TimeSpan LongestNotice = TimeSpan.FromDays(14);

    private ValidityState _state;
    private long _warnedAt;

    public CertificateValidity(string subject, X509Certificate2 certificate)
        : this(subject, certificate.NotBefore, certificate.NotAfter)
    {
    }

    public string Subject => subject;

    public DateTimeOffset NotBefore => notBefore.ToUniversalTime();

    public DateTimeOffset NotAfter => notAfter.ToUniversalTime();

    public ValidityState At(DateTimeOffset now)
    {
        TimeSpan tenth = (notAfter - notBefore) / 10;
        return now < notBefore ? ValidityState.NotYetValid
            : now > notAfter ? ValidityState.Expired
            : now > notAfter - (tenth < LongestNotice ? tenth : LongestNotice) ? ValidityState.Expiring
            : ValidityState.Valid;
    }

    /// <summary>Answers the state that is due to be warned of; <see cref="ValidityState.Valid"/> if none is. Called by one thread at a time.</summary>
    public ValidityState Due(TimeProvider time)
    {
        ValidityState state = At(time.GetUtcNow());
        bool isDue = state != ValidityState.Valid && (state != _state || time.GetElapsedTime(_warnedAt) >= WarningPeriod);
        _state = state;
        if (!isDue)
        {
            return ValidityState.Valid;
        }

        _warnedAt = time.GetTimestamp();
        return state;
    }
}
