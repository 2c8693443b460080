using System.Security.Cryptography.X509Certificates;
using ByteStreams.Testing;
using ByteStreams.Tls;

namespace ByteStreams.Middleware.Tests.Tls;

/// <summary>What a check reports of certificates that an endpoint starts with.</summary>
[Trait("Fault", "F78")]
public sealed class CertificateCheckTests : TlsTest
{
    private static readonly DateTimeOffset Now = DateTimeOffset.UtcNow;

    [Fact]
    public void Warnings_IntermediateIsMissing_NamesIt()
    {
        using X509Certificate2 leaf = Authority.IssueAuthority("In between").IssueServer("localhost");
        var tls = new TlsServerOptions { Certificates = { Write("server", leaf) } };

        string warning = Assert.Single(CertificateCheck.GetWarnings(tls, Now));

        Assert.StartsWith("Tls:Certificates:0: the issuer 'CN=In between' is neither in the file nor a root that this system trusts.", warning, StringComparison.Ordinal);
    }

    [Fact]
    public void Warnings_ChainIsComplete_HasNone()
    {
        TestAuthority intermediate = Authority.IssueAuthority("In between");
        using X509Certificate2 leaf = intermediate.IssueServer("localhost");
        TlsCertificateOptions files = Write("server", leaf);
        File.AppendAllText(files.Path!, $"\n{intermediate.Pem}\n{Authority.Pem}");

        Assert.Empty(CertificateCheck.GetWarnings(new TlsServerOptions { Certificates = { files } }, Now));
    }

    [Fact]
    public void Warnings_IssuerIsTheClientsAuthority_HasNone() => Assert.Empty(CertificateCheck.GetWarnings(WithClients(Authority.Pem), Now));

    [Fact]
    public void Warnings_CommonNameRules_RecommendTheOthers()
    {
        TlsServerOptions tls = WithClients(Authority.Pem);
        tls.AllowedCommonNames.Add("alice");

        string warning = Assert.Single(CertificateCheck.GetWarnings(tls, Now));

        Assert.StartsWith("Tls:AllowedCommonNames: name constraints of an authority do not apply to common names.", warning, StringComparison.Ordinal);
    }

    [Fact]
    public void Warnings_CertificateExpiresSoonAndAuthorityHasExpired_ReportsBoth()
    {
        // Its ten days end in five; its authority's twenty in ten.
        TlsServerOptions tls = WithClients(Authority.Pem);

        string expires = Assert.Single(CertificateCheck.GetWarnings(tls, Now.AddDays(4.5)));
        Assert.StartsWith("Tls:Certificates:0: the certificate 'localhost' expires at ", expires, StringComparison.Ordinal);
        string expired = Assert.Single(CertificateCheck.GetWarnings(tls, Now.AddDays(11)));
        Assert.StartsWith("Tls:ClientCaPath: the authority 'CN=Test Authority' is valid from ", expired, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(-6)]
    [InlineData(6)]
    public void Unfit_CertificateIsNotValid_IsAnError(int days)
    {
        using X509Certificate2 leaf = Authority.IssueServer("localhost");
        TlsCertificateOptions files = Write("server", leaf);

        Assert.StartsWith(
            "Tls:Certificates:0: the certificate 'localhost' is valid from ",
            Assert.Single(CertificateCheck.GetRejections(new TlsServerOptions { Certificates = { files } }, Now.AddDays(days))),
            StringComparison.Ordinal);
        Assert.StartsWith(
            "Tls:Certificate: the certificate 'localhost' is valid from ",
            Assert.Single(CertificateCheck.GetRejections(new TlsClientOptions { Certificate = files }, Now.AddDays(days))),
            StringComparison.Ordinal);
        Assert.Empty(CertificateCheck.GetRejections(new TlsServerOptions { Certificates = { files } }, Now));
    }

    /// <summary>.NET builds a chain to a root, also where its list of trusted authorities has an intermediate.</summary>
    [Fact]
    public async Task Unfit_AuthoritiesAreIntermediatesOnly_IsAnErrorBecauseEveryClientIsRefused()
    {
        TestAuthority intermediate = Authority.IssueAuthority("In between");
        TlsServerOptions tls = WithClients(intermediate.Pem);

        Assert.Equal(
            $"Tls:ClientCaPath: {tls.ClientCaPath} contains intermediate authorities and no root (a self-signed certificate): every client is rejected. Add the root.",
            Assert.Single(CertificateCheck.GetRejections(tls, Now)));
        Assert.EndsWith(
            ": every upstream is rejected. Add the root.",
            Assert.Single(CertificateCheck.GetRejections(new TlsClientOptions { CaPath = tls.ClientCaPath }, Now)),
            StringComparison.Ordinal);

        Served served = await ServeTlsAsync(Carrier.Own, options =>
        {
            options.Certificates.Add(tls.Certificates[0]);
            options.ClientCertificates = ClientCertificates.Require;
            options.ClientCaPath = tls.ClientCaPath;
        });
        using X509Certificate2 client = intermediate.IssueClient("alice");
        await AssertNotServedAsync(served, Client(client));
        Assert.Contains("is not trusted (PartialChain)", (await WaitForFailuresAsync(served, 1))[0].Message, StringComparison.Ordinal);

        File.AppendAllText(tls.ClientCaPath!, "\n" + Authority.Pem);
        Assert.Empty(CertificateCheck.GetRejections(tls, Now));
    }

    [Theory]
    [InlineData("AllowedDnsNames", "spiffe://example.org/a", "Move URIs to AllowedUris.")]
    [InlineData("AllowedUris", "a.example", "move host names to AllowedDnsNames.")]
    [InlineData("Hosts", "https://a.example", "Write the name only")]
    [InlineData("Hosts", "a.example:443", "Write the name only")]
    public void Mistakes_NameCannotMatch_IsRefused(string key, string name, string expected)
    {
        TlsServerOptions tls = WithClients(Authority.Pem);
        (key switch
        {
            "AllowedDnsNames" => tls.AllowedDnsNames,
            "AllowedUris" => tls.AllowedUris,
            _ => tls.Certificates[0].Hosts,
        }).Add(name);

        string error = Assert.Single(CertificateCheck.GetErrors(tls));

        Assert.Contains($"{key}: '{name}' is not a ", error, StringComparison.Ordinal);
        Assert.EndsWith(expected, error.Replace(", with *. in front to match one label.", string.Empty, StringComparison.Ordinal), StringComparison.Ordinal);
    }

    private TlsServerOptions WithClients(string authorities)
    {
        using X509Certificate2 leaf = Authority.IssueServer("localhost");
        File.WriteAllText(PathOf("ca.pem"), authorities);
        return new TlsServerOptions
        {
            Certificates = { Write("server", leaf) },
            ClientCertificates = ClientCertificates.Require,
            ClientCaPath = PathOf("ca.pem"),
        };
    }
}
