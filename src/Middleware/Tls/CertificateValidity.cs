using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary>The state of a certificate's validity period.</summary>
internal enum ValidityState
{
    Valid,
    NotYetValid,

    /// <summary>The rest of the validity period is less than a tenth of it and less than 14 days.</summary>
    Expiring,

    Expired,
}

/// <summary>A certificate's validity period, and when a warning is due: at each change to a state other than valid, then daily.</summary>
/// <param name="subject">The certificate's name.</param>
/// <param name="notBefore">The start of the period.</param>
/// <param name="notAfter">The end of the period.</param>
internal sealed class CertificateValidity(string subject, DateTimeOffset notBefore, DateTimeOffset notAfter)
{
    private static readonly TimeSpan WarningPeriod = TimeSpan.FromDays(1);
    private static readonly TimeSpan MaxNotice = TimeSpan.FromDays(14);

    private ValidityState _state;
    private long _warnedAt;

    public CertificateValidity(string subject, X509Certificate2 certificate)
        : this(subject, certificate.NotBefore, certificate.NotAfter)
    {
    }

    public string Subject => subject;

    public DateTimeOffset NotBefore => notBefore.ToUniversalTime();

    public DateTimeOffset NotAfter => notAfter.ToUniversalTime();

    public ValidityState GetState(DateTimeOffset now)
    {
        TimeSpan tenth = (notAfter - notBefore) / 10;
        return now < notBefore ? ValidityState.NotYetValid
            : now > notAfter ? ValidityState.Expired
            : now > notAfter - (tenth < MaxNotice ? tenth : MaxNotice) ? ValidityState.Expiring
            : ValidityState.Valid;
    }

    /// <summary>Returns the state for which a warning is due; <see cref="ValidityState.Valid"/> if none is. Called by one thread at a time.</summary>
    public ValidityState GetDueWarning(TimeProvider time)
    {
        ValidityState state = GetState(time.GetUtcNow());
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
