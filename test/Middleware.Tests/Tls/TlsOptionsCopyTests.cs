using System.Net.Security;
using System.Reflection;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Tls;

namespace ByteStreams.Middleware.Tests.Tls;

/// <summary>A copy has every property of the options, those of later versions of .NET included.</summary>
public sealed class TlsOptionsCopyTests : TlsTest
{
    [Fact]
    public void From_ClientOptions_CopiesEveryProperty()
    {
        using X509Certificate2 certificate = Authority.IssueClient("alice");
        AssertCopied(new SslClientAuthenticationOptions(), TlsOptionsCopy.From, certificate);
    }

    [Fact]
    public void From_ServerOptions_CopiesEveryProperty()
    {
        using X509Certificate2 certificate = Authority.IssueServer("localhost");
        AssertCopied(new SslServerAuthenticationOptions(), TlsOptionsCopy.From, certificate);
    }

    private static void AssertCopied<TOptions>(TOptions options, Func<TOptions, TOptions> copy, X509Certificate2 certificate)
        where TOptions : class
    {
        PropertyInfo[] properties = typeof(TOptions).GetProperties();
        foreach (PropertyInfo property in properties)
        {
            property.SetValue(options, Other(property, property.GetValue(options), certificate));
        }

        TOptions copied = copy(options);

        Assert.NotSame(options, copied);
        Assert.All(properties, property => Assert.True(
            Equals(property.GetValue(options), property.GetValue(copied)), $"{property.Name} was not copied."));
    }

    /// <summary>A value that is not the default.</summary>
    private static object Other(PropertyInfo property, object? value, X509Certificate2 certificate) => property.PropertyType.Name switch
    {
        nameof(Boolean) => !(bool)value!,
        nameof(String) => "other",
        nameof(SslProtocols) => SslProtocols.Tls13,
        nameof(X509RevocationMode) => X509RevocationMode.Offline,
        nameof(X509Certificate) => certificate,
        nameof(X509CertificateCollection) => new X509CertificateCollection(),
        nameof(X509ChainPolicy) => new X509ChainPolicy(),
        nameof(SslStreamCertificateContext) => SslStreamCertificateContext.Create(certificate, null, offline: true),
        nameof(CipherSuitesPolicy) => OperatingSystem.IsWindows() ? throw new PlatformNotSupportedException() : new CipherSuitesPolicy([TlsCipherSuite.TLS_AES_128_GCM_SHA256]),
        nameof(RemoteCertificateValidationCallback) => new RemoteCertificateValidationCallback((_, _, _, errors) => errors == SslPolicyErrors.None),
        nameof(LocalCertificateSelectionCallback) => new LocalCertificateSelectionCallback((_, _, _, _, _) => certificate),
        nameof(ServerCertificateSelectionCallback) => new ServerCertificateSelectionCallback((_, _) => certificate),
        _ when property.PropertyType.IsEnum => Enum.GetValues(property.PropertyType).Cast<object>().First(other => !other.Equals(value)),
        _ => new List<SslApplicationProtocol>(),
    };
}
